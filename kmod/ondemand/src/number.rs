// SPDX-License-Identifier: GPL-2.0

//! Numbers in commands, parsed as strictly as by the kernel's `kstrtoul()`: a string
//! is a number from its first byte to its last, or not at all.

use crate::Errno;

/// An unsigned number: a `+` or nothing, then decimal digits, `0x` and
/// hexadecimal ones, or `0` and octal ones.
///
/// # Errors
///
/// [`Errno::ERANGE`] if it does not fit, whatever follows the digits, otherwise
/// [`Errno::EINVAL`] if it is no number.
pub(crate) fn unsigned(text: &[u8]) -> Result<u64, Errno> {
    magnitude(text.strip_prefix(b"+").unwrap_or(text))
}

/// A signed number: as an unsigned one, or with a `-`.
///
/// # Errors
///
/// As for an unsigned one.
pub(crate) fn signed(text: &[u8]) -> Result<i64, Errno> {
    match text.strip_prefix(b"-") {
        Some(digits) => 0i64.checked_sub_unsigned(magnitude(digits)?),
        None => 0i64.checked_add_unsigned(unsigned(text)?),
    }
    .ok_or(Errno::ERANGE)
}

/// A number in decimal digits alone, of which there is at least one.
///
/// # Errors
///
/// As for an unsigned one.
pub(crate) fn decimal(text: &[u8]) -> Result<u64, Errno> {
    digits(text, 10)
}

/// A number without a sign, with the base in its prefix.
fn magnitude(text: &[u8]) -> Result<u64, Errno> {
    match text {
        [b'0', b'x' | b'X', hex @ ..] => digits(hex, 16),
        [b'0', ..] => digits(text, 8),
        _ => digits(text, 10),
    }
}

fn digits(text: &[u8], base: u32) -> Result<u64, Errno> {
    if text.is_empty() {
        return Err(Errno::EINVAL);
    }
    text.iter().try_fold(0u64, |value, byte| {
        let digit = char::from(*byte).to_digit(base).ok_or(Errno::EINVAL)?;
        value
            .checked_mul(u64::from(base))
            .and_then(|value| value.checked_add(u64::from(digit)))
            .ok_or(Errno::ERANGE)
    })
}
