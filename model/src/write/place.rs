// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Positions of inodes in their metadata space (docs/spec/erofs-format.md sections 1 and 4).

/// Data after an inode and its extended attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trailing {
    Nothing,
    /// Bytes that must not cross a block boundary.
    Tail(u64),
    /// A chunk map: alignment and length.
    Map {
        unit: u64,
        len: u64,
    },
}

/// An inode to be positioned.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// Size of inode and extended attributes, in bytes.
    pub(super) head: u64,
    pub(super) trailing: Trailing,
    /// Start in the last slot of a block if possible.
    pub(super) straddle: bool,
}

/// A metadata space that is filled from front to back.
#[derive(Clone, Debug)]
pub(super) struct Area {
    next: u64,
    block: u64,
}

impl Area {
    pub(super) fn starting_at(offset: u64, block: u64) -> Self {
        Area {
            next: offset,
            block,
        }
    }

    /// First unused byte.
    pub(super) fn end(&self) -> u64 {
        self.next
    }

    /// Takes the next suitable position and returns the offset of the inode.
    pub(super) fn take(&mut self, wanted: Wanted) -> u64 {
        let first = self.next.next_multiple_of(32);
        let last_slot = first - first % self.block + self.block - 32;
        let iloc = if wanted.straddle && self.suits(last_slot, wanted) {
            last_slot
        } else {
            // The position within the block repeats after one block of slots.
            (0..=self.block / 32)
                .map(|slot| first + slot * 32)
                .find(|iloc| self.suits(*iloc, wanted))
                .expect("a tail that was found to fit in a block")
        };
        let base = iloc + wanted.head;
        self.next = match wanted.trailing {
            Trailing::Nothing => base,
            Trailing::Tail(len) => base + len,
            Trailing::Map { unit, len } => base.next_multiple_of(unit) + len,
        };
        iloc
    }

    fn suits(&self, iloc: u64, wanted: Wanted) -> bool {
        match wanted.trailing {
            Trailing::Tail(len) => (iloc + wanted.head) % self.block + len <= self.block,
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_never_crosses_a_block() {
        let mut area = Area::starting_at(1152, 512);
        for tail in 1..480 {
            let wanted = Wanted {
                head: 32,
                trailing: Trailing::Tail(tail),
                straddle: tail % 3 == 0,
            };
            let base = area.take(wanted) + 32;
            assert_eq!(
                base / 512,
                (base + tail - 1) / 512,
                "tail of {tail} at {base}"
            );
        }
    }

    #[test]
    fn a_straddling_inode_starts_in_the_last_slot() {
        let mut area = Area::starting_at(1152, 512);
        let wanted = Wanted {
            head: 64,
            trailing: Trailing::Nothing,
            straddle: true,
        };
        assert_eq!(area.take(wanted), 1536 - 32);
        assert_eq!(area.end(), 1536 + 32);
    }
}
