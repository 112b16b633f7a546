// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Descriptors: the daemon holds one for each object that is open.

use rustix::io::Result;
use rustix::process::{getrlimit, setrlimit, Resource, Rlimit};

/// Lets this process have as many descriptors as it may without asking, and returns how many those
/// are; `None`: there is no limit.
///
/// A process usually begins with 1024, less than the blobs of a hundred images.
///
/// # Errors
/// Those of setrlimit(2).
pub fn raise_descriptor_limit() -> Result<Option<u64>> {
    let most = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit {
        current: most,
        maximum: most,
    };
    setrlimit(Resource::Nofile, limit)?;
    Ok(most)
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
