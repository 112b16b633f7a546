// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Comparison of Debian package versions.

use std::cmp::Ordering;

/// Debian's order of versions: runs of digits compare as numbers, `~` sorts before the end, letters
/// sort before other characters. Epochs are not supported: none of the packages has one.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    while !(a.is_empty() && b.is_empty()) {
        loop {
            let (x, y) = (weight(a), weight(b));
            if x != y {
                return x.cmp(&y);
            }
            if x == 0 {
                break;
            }
            (a, b) = (&a[1..], &b[1..]);
        }
        let (x, after_a) = number(a);
        let (y, after_b) = number(b);
        if x != y {
            return x.cmp(&y);
        }
        (a, b) = (after_a, after_b);
    }
    Ordering::Equal
}

/// The rank of the first character; 0 for the end and for a digit.
fn weight(text: &[u8]) -> i32 {
    match text.first() {
        None | Some(b'0'..=b'9') => 0,
        Some(b'~') => -1,
        Some(letter) if letter.is_ascii_alphabetic() => i32::from(*letter),
        Some(other) => i32::from(*other) + 256,
    }
}

fn number(text: &[u8]) -> (u64, &[u8]) {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = text.split_at(digits);
    let value = number.iter().fold(0u64, |sum, digit| {
        sum.saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    });
    (value, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert_eq!(compare("7.3.10-1", "7.3.9-1"), Ordering::Greater);
        assert_eq!(compare("7.3~rc7-1", "7.3-1"), Ordering::Less);
        assert_eq!(compare("7.3.4-1~bpo13+1", "7.3.4-1"), Ordering::Less);
        assert_eq!(compare("1.9.4-1", "1.9.4-1"), Ordering::Equal);
        assert_eq!(compare("7.3", "7.3.1"), Ordering::Less);
    }
}
