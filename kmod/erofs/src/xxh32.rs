// SPDX-License-Identifier: GPL-2.0

//! xxHash with 32 bits, for the attribute name filter (docs/spec/erofs-format.md section 9.3).

const P1: u32 = 0x9e37_79b1;
const P2: u32 = 0x85eb_ca77;
const P3: u32 = 0xc2b2_ae3d;
const P4: u32 = 0x27d4_eb2f;
const P5: u32 = 0x1656_67b1;

/// Processes four bytes in one lane.
#[inline]
fn round(lane: u32, word: u32) -> u32 {
    lane.wrapping_add(word.wrapping_mul(P2))
        .rotate_left(13)
        .wrapping_mul(P1)
}

/// Hashes `bytes` with `seed`.
pub(crate) fn xxh32(bytes: &[u8], seed: u32) -> u32 {
    let mut rest = bytes;
    let mut hash = seed.wrapping_add(P5);

    if bytes.len() >= 16 {
        let mut a = seed.wrapping_add(P1).wrapping_add(P2);
        let mut b = seed.wrapping_add(P2);
        let mut c = seed;
        let mut d = seed.wrapping_sub(P1);
        while let Some((stripe, tail)) = rest.split_first_chunk::<16>() {
            let [a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3] = *stripe;
            a = round(a, u32::from_le_bytes([a0, a1, a2, a3]));
            b = round(b, u32::from_le_bytes([b0, b1, b2, b3]));
            c = round(c, u32::from_le_bytes([c0, c1, c2, c3]));
            d = round(d, u32::from_le_bytes([d0, d1, d2, d3]));
            rest = tail;
        }
        hash = a
            .rotate_left(1)
            .wrapping_add(b.rotate_left(7))
            .wrapping_add(c.rotate_left(12))
            .wrapping_add(d.rotate_left(18));
    }

    // The hash uses the length modulo 2^32.
    hash = hash.wrapping_add(bytes.len() as u32);
    while let Some((word, tail)) = rest.split_first_chunk::<4>() {
        hash = hash
            .wrapping_add(u32::from_le_bytes(*word).wrapping_mul(P3))
            .rotate_left(17)
            .wrapping_mul(P4);
        rest = tail;
    }
    for byte in rest {
        hash = hash
            .wrapping_add(u32::from(*byte).wrapping_mul(P5))
            .rotate_left(11)
            .wrapping_mul(P1);
    }

    hash ^= hash >> 15;
    hash = hash.wrapping_mul(P2);
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(P3);
    hash ^ (hash >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_vectors() {
        assert_eq!(xxh32(b"", 0), 0x02cc_5d05);
        assert_eq!(xxh32(b"a", 0), 0x550d_7456);
        assert_eq!(xxh32(b"abc", 0), 0x32d1_53ff);
        assert_eq!(
            xxh32(b"Nobody inspects the spammish repetition", 0),
            0xe229_3b2f
        );
    }

    #[test]
    fn filter_bits_of_the_acl_names() {
        assert_eq!(xxh32(b"", 0x25bb_e08f + 2) % 32, 30);
        assert_eq!(xxh32(b"", 0x25bb_e08f + 3) % 32, 21);
    }
}
