// SPDX-License-Identifier: GPL-2.0

//! Free space that the file system of the cache must keep.
//!
//! Source: docs/spec/cachefiles-ondemand.md section 2.

use crate::Errno;

/// A resource of a file system that can run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Inodes: `frun`, `fcull`, `fstop`.
    Files,
    /// Blocks: `brun`, `bcull`, `bstop`.
    Blocks,
}

/// A level of the free part of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threshold {
    /// Culling ends above it.
    Run,
    /// Culling begins below it.
    Cull,
    /// Nothing is allocated below it.
    Stop,
}

/// The thresholds of one resource, in percent: `stop < cull < run < 100`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Levels {
    /// [`Threshold::Run`].
    pub run: u8,
    /// [`Threshold::Cull`].
    pub cull: u8,
    /// [`Threshold::Stop`].
    pub stop: u8,
}

/// The thresholds of a cache.
///
/// The defaults are in order, and each change is checked against its neighbours, so
/// that the order holds when the cache is bound: the ERANGE that the specification
/// lists for `bind` cannot occur.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    files: Levels,
    blocks: Levels,
}

impl Limits {
    /// The thresholds of one resource.
    pub const fn levels(&self, resource: Resource) -> Levels {
        match resource {
            Resource::Files => self.files,
            Resource::Blocks => self.blocks,
        }
    }

    /// Changes one threshold.
    ///
    /// # Errors
    ///
    /// [`Errno::EINVAL`] if it would not lie between its neighbours; nothing is
    /// changed then.
    pub fn set(
        &mut self,
        resource: Resource,
        threshold: Threshold,
        percent: u8,
    ) -> Result<(), Errno> {
        let levels = match resource {
            Resource::Files => &mut self.files,
            Resource::Blocks => &mut self.blocks,
        };
        let mut wanted = *levels;
        match threshold {
            Threshold::Run => wanted.run = percent,
            Threshold::Cull => wanted.cull = percent,
            Threshold::Stop => wanted.stop = percent,
        }
        if !wanted.in_order() {
            return Err(Errno::EINVAL);
        }
        *levels = wanted;
        Ok(())
    }
}

impl Default for Limits {
    /// The default thresholds: 7, 5 and 1 %.
    fn default() -> Self {
        let levels = Levels {
            run: 7,
            cull: 5,
            stop: 1,
        };
        Limits {
            files: levels,
            blocks: levels,
        }
    }
}

impl Levels {
    const fn in_order(self) -> bool {
        self.stop < self.cull && self.cull < self.run && self.run < 100
    }
}
