// SPDX-License-Identifier: GPL-2.0

//! The path of the cache file of an object:
//! `<dir>/cache/I<volume key>/@<hh>/<cookie key>`.
//!
//! Source: docs/spec/cachefiles-ondemand.md section 7.
//!
//! # Keys that are no file names
//!
//! A cookie key of printable bytes, without space and `/`, is stored as `D` and
//! the key; daemons in use have no other keys. The specification outlines the C
//! driver's encodings of other keys (`S`, `T`, `E`), but not in enough detail to
//! write the same names. Ondine encodes them under a letter that the C driver does
//! not use: `P` and the key, with `%` and two lower-case hexadecimal digits for `%`
//! itself and each byte that `D` excludes. Cache files of such objects are not
//! shared with the C driver; all others are.

use core::iter::{self, FusedIterator};

use crate::Errno;

/// Longest file name, in bytes.
pub const NAME_MAX: usize = 255;
/// Longest key, in bytes, of a volume or a cookie.
pub const KEY_MAX: usize = 255;

/// Directory of all volumes, in the cache's root.
pub const CACHE_DIR: &[u8] = b"cache";
/// Directory of files that are to be deleted, in the cache's root.
pub const GRAVEYARD_DIR: &[u8] = b"graveyard";

/// The hash of a volume, of a key of 1 to [`KEY_MAX`] bytes.
pub fn volume_hash(volume_key: &[u8]) -> u32 {
    // The length is a byte: no volume has a longer key.
    let len = volume_key.len() as u8;
    let bytes = iter::once(len)
        .chain(volume_key.iter().copied())
        .chain(iter::once(0));
    hash(0, bytes)
}

/// The hash of a cookie in the volume of hash `volume_hash`.
pub fn cookie_hash(volume_hash: u32, cookie_key: &[u8]) -> u32 {
    hash(volume_hash, cookie_key.iter().copied())
}

/// Name of the directory of a volume, in [`CACHE_DIR`].
///
/// # Errors
///
/// [`Errno::ENOMEM`] for a key that is too long for a volume (docs/spec/cachefiles-ondemand.md section
/// 9.1), [`Errno::ENAMETOOLONG`] for one that is too long for a directory,
/// [`Errno::EINVAL`] for an empty one, or one with a `/` or a NUL in it.
pub fn volume_dir<'b>(volume_key: &[u8], name: &'b mut [u8; NAME_MAX]) -> Result<&'b [u8], Errno> {
    if volume_key.len() > KEY_MAX {
        return Err(Errno::ENOMEM);
    }
    if volume_key.is_empty() || volume_key.contains(&b'/') || volume_key.contains(&0) {
        return Err(Errno::EINVAL);
    }
    let bytes = volume_key.iter().copied();
    fill(name, iter::once(b'I').chain(bytes))
}

/// Name of the directory in a volume that holds the cookies of this hash.
pub const fn fan_out_dir(cookie_hash: u32) -> [u8; 3] {
    let [high, low] = hex(cookie_hash as u8);
    [b'@', high, low]
}

/// Name of the cache file of a cookie, in its fan-out directory.
///
/// # Errors
///
/// [`Errno::EINVAL`] for an empty key, [`Errno::ENAMETOOLONG`] for one that is
/// too long or becomes so.
pub fn cookie_file<'b>(cookie_key: &[u8], name: &'b mut [u8; NAME_MAX]) -> Result<&'b [u8], Errno> {
    if cookie_key.is_empty() {
        return Err(Errno::EINVAL);
    }
    let bytes = cookie_key.iter().copied();
    if bytes.clone().all(is_plain) {
        fill(name, iter::once(b'D').chain(bytes))
    } else {
        fill(name, iter::once(b'P').chain(bytes.flat_map(escape)))
    }
}

/// Returns whether a byte may stand for itself in a file name.
const fn is_plain(byte: u8) -> bool {
    matches!(byte, 0x21..=0x2e | 0x30..=0x7f)
}

/// A byte, or its three bytes under `P`.
fn escape(byte: u8) -> impl Iterator<Item = u8> {
    let plain = is_plain(byte) && byte != b'%';
    let [high, low] = hex(byte);
    let bytes = if plain {
        [Some(byte), None, None]
    } else {
        [Some(b'%'), Some(high), Some(low)]
    };
    bytes.into_iter().flatten()
}

/// Writes `bytes` to the start of `name`.
fn fill(name: &mut [u8; NAME_MAX], bytes: impl Iterator<Item = u8>) -> Result<&[u8], Errno> {
    let mut len = 0usize;
    for byte in bytes {
        *name.get_mut(len).ok_or(Errno::ENAMETOOLONG)? = byte;
        len = len.wrapping_add(1);
    }
    name.get(..len).ok_or(Errno::ENAMETOOLONG)
}

/// Two lower-case hexadecimal digits.
const fn hex(byte: u8) -> [u8; 2] {
    [hex_digit(byte >> 4), hex_digit(byte & 15)]
}

const fn hex_digit(nibble: u8) -> u8 {
    let letter = if nibble < 10 { b'0' } else { b'a' - 10 };
    letter.wrapping_add(nibble)
}

/// The hash of docs/spec/cachefiles-ondemand.md section 7, of bytes that are padded with zeros
/// to whole words.
fn hash(salt: u32, mut bytes: impl FusedIterator<Item = u8>) -> u32 {
    const FOLD: u32 = 0x61c8_8647;
    let mut x = 0u32;
    let mut y = salt;
    while let Some(first) = bytes.next() {
        let mut next = || bytes.next().unwrap_or(0);
        x ^= u32::from_le_bytes([first, next(), next(), next()]);
        y ^= x;
        x = x.rotate_left(7).wrapping_add(y);
        y = y.rotate_left(20).wrapping_mul(9);
    }
    (y ^ x.wrapping_mul(FOLD)).wrapping_mul(FOLD)
}
