// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Hashes of the format: CRC-32C of the superblock and XXH32 of the name filter.
//!
//! The model's reader uses published crates for both and the writer its own, so that they check
//! each other.

use super::sparse_bytes::SparseBytes;

/// State of the CRC before the first covered byte (docs/spec/erofs-format.md section 2.3).
const CRC_SEED: u32 = 0x5045_b54a;
/// First covered byte, after the superblock's magic and checksum.
const CRC_START: u64 = 1032;
/// Byte offset of the stored checksum.
const CRC_PLACE: u64 = 1028;

/// CRC-32C without final inversion, bit by bit.
fn crc32c(seed: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(seed, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg())
        })
    })
}

/// Writes the superblock checksum for blocks of `1 << block_bits` bytes into `primary`.
pub fn seal(primary: &mut SparseBytes, block_bits: u8) {
    let block = 1_u64 << block_bits;
    let covered = if block > 1024 { block - 1024 } else { block };
    let count = (1024 + covered - CRC_START) as usize;
    let sum = crc32c(CRC_SEED, &primary.bytes(CRC_START, count));
    primary.write_at(CRC_PLACE, &sum.to_le_bytes());
}

const PRIMES: [u32; 5] = [
    0x9e37_79b1,
    0x85eb_ca77,
    0xc2b2_ae3d,
    0x27d4_eb2f,
    0x1656_67b1,
];

fn word(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// XXH32, written along its specification.
pub(super) fn xxh32(seed: u32, bytes: &[u8]) -> u32 {
    let [p1, p2, p3, p4, p5] = PRIMES;
    let stripes = bytes.chunks_exact(16);
    let mut rest = stripes.remainder();
    let mut sum = if bytes.len() < 16 {
        seed.wrapping_add(p5)
    } else {
        let mut lanes = [
            seed.wrapping_add(p1).wrapping_add(p2),
            seed.wrapping_add(p2),
            seed,
            seed.wrapping_sub(p1),
        ];
        for stripe in stripes {
            for (lane, part) in lanes.iter_mut().zip(stripe.chunks_exact(4)) {
                let mixed = lane.wrapping_add(word(part).wrapping_mul(p2));
                *lane = mixed.rotate_left(13).wrapping_mul(p1);
            }
        }
        lanes
            .into_iter()
            .zip([1, 7, 12, 18])
            .fold(0_u32, |sum, (lane, turn)| {
                sum.wrapping_add(lane.rotate_left(turn))
            })
    };
    sum = sum.wrapping_add(bytes.len() as u32);
    while rest.len() >= 4 {
        sum = sum
            .wrapping_add(word(rest).wrapping_mul(p3))
            .rotate_left(17)
            .wrapping_mul(p4);
        rest = &rest[4..];
    }
    for byte in rest {
        sum = sum
            .wrapping_add(u32::from(*byte).wrapping_mul(p5))
            .rotate_left(11)
            .wrapping_mul(p1);
    }
    sum = (sum ^ (sum >> 15)).wrapping_mul(p2);
    sum = (sum ^ (sum >> 13)).wrapping_mul(p3);
    sum ^ (sum >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_is_the_state_behind_the_magic() {
        let magic_and_zero = [0xe2, 0xe1, 0xf5, 0xe0, 0, 0, 0, 0];
        assert_eq!(crc32c(!0, &magic_and_zero), CRC_SEED);
        assert_eq!(!crc32c(!0, b"123456789"), 0xe306_9283);
    }

    #[test]
    fn xxh32_gives_the_published_values() {
        assert_eq!(xxh32(0, b""), 0x02cc_5d05);
        assert_eq!(xxh32(0, b"abc"), 0x32d1_53ff);
        assert_eq!(
            xxh32(0, b"Nobody inspects the spammish repetition"),
            0xe229_3b2f
        );
    }

    #[test]
    fn acl_names_hash_to_their_known_bits() {
        assert_eq!(xxh32(0x25bb_e08f + 2, b"") % 32, 30);
        assert_eq!(xxh32(0x25bb_e08f + 3, b"") % 32, 21);
    }
}
