// SPDX-License-Identifier: GPL-2.0

//! CRC-32C of the superblock (docs/spec/erofs-format.md section 2.3).
//!
//! Runs once per mount over at most a page, so it is computed bit by bit without a table.

/// The Castagnoli polynomial, least significant bit first.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// State after the four magic bytes and the zeroed checksum field.
pub(crate) const SEED: u32 = 0x5045_b54a;

/// Feeds `bytes` into `state`, without inversion before or after.
pub(crate) fn crc32c(state: u32, bytes: &[u8]) -> u32 {
    let mut state = state;
    for byte in bytes {
        state ^= u32::from(*byte);
        for _ in 0..8 {
            let carry = 0u32.wrapping_sub(state & 1);
            state = (state >> 1) ^ (POLYNOMIAL & carry);
        }
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_vector() {
        assert_eq!(!crc32c(!0, b"123456789"), 0xe306_9283);
    }

    #[test]
    fn seed_is_magic_and_zeroes() {
        let head = [0xe2, 0xe1, 0xf5, 0xe0, 0, 0, 0, 0];
        assert_eq!(crc32c(!0, &head), SEED);
    }
}
