// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Files with generated contents, which host and guest compute independently.

/// Sizes of the files in bytes: around one page, several pages, whole and partial chunks, and more
/// than one READ.
const SIZES: [usize; 12] = [
    1, 4095, 4096, 4097, 65_536, 70_001, 100_000, 131_072, 200_000, 262_145, 524_289, 1_048_577,
];

/// Number of files of each size.
const COPIES: usize = 2;

/// A file with its contents.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The path below the root.
    pub path: String,
    /// The contents. No byte is zero, so that a zero that is read is always wrong.
    pub bytes: Vec<u8>,
}

/// The files of all sizes, the same on every call.
pub fn samples() -> Vec<Sample> {
    (0..SIZES.len() * COPIES).map(sample).collect()
}

fn sample(n: usize) -> Sample {
    filled(n, SIZES[n % SIZES.len()], format!("d{}/f{n:02}", n % 3))
}

fn filled(n: usize, len: usize, path: String) -> Sample {
    let mut rng = fastrand::Rng::with_seed(n as u64);
    let mut bytes = vec![0; len];
    rng.fill(&mut bytes);
    for byte in &mut bytes {
        *byte |= 1;
    }
    Sample { path, bytes }
}

/// 400 files of 2000 to 7000 bytes.
pub fn small() -> Vec<Sample> {
    let one = |n: usize| filled(n, 2000 + n * 13 % 5000, format!("f{n:03}"));
    (0..400).map(one).collect()
}

/// `len` pseudo-random bytes that depend on `seed`, so that data of a wrong place or of another file
/// is noticed.
pub fn pattern(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(len);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_samples_are_the_same_each_time_and_hold_no_zero() {
        let (one, two) = (samples(), samples());
        assert_eq!(one.len(), 24);
        for (a, b) in one.iter().zip(&two) {
            assert_eq!((&a.path, &a.bytes), (&b.path, &b.bytes));
            assert!(!a.bytes.contains(&0));
        }
        assert_ne!(one[0].bytes, one[12].bytes);
    }
}
