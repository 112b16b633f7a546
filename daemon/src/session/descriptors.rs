// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The limit of open descriptors. The daemon holds a descriptor for each open object.

use rustix::io::Result;
use rustix::process::{getrlimit, setrlimit, Resource, Rlimit};

/// Raises the soft limit of open descriptors to the hard limit and returns it; `None` for no limit.
///
/// The usual soft limit of 1024 does not suffice for the blobs of a hundred images.
///
/// # Errors
/// Those of setrlimit(2).
pub fn raise_descriptor_limit() -> Result<Option<u64>> {
    let hard = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit {
        current: hard,
        maximum: hard,
    };
    setrlimit(Resource::Nofile, limit)?;
    Ok(hard)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let before = getrlimit(Resource::Nofile);
        let low = Rlimit {
            current: Some(512),
            maximum: before.maximum,
        };
        setrlimit(Resource::Nofile, low).unwrap();
        assert_eq!(raise_descriptor_limit(), Ok(before.maximum));
        assert_eq!(getrlimit(Resource::Nofile).current, before.maximum);
    }
}
