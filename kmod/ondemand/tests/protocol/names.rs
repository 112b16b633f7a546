// SPDX-License-Identifier: GPL-2.0

//! Names of cache files, decoded again, and the hash over whole words.

use ondine_ondemand::names::{
    cookie_file, cookie_hash, fan_out_dir, volume_dir, volume_hash, NAME_MAX,
};
use ondine_ondemand::Errno;
use proptest::prelude::*;

/// The hash of docs/spec/cachefiles-ondemand.md section 7, of a buffer that is padded.
fn hash(salt: u32, bytes: &[u8]) -> u32 {
    let mut padded = bytes.to_vec();
    padded.resize(bytes.len().next_multiple_of(4), 0);
    let (mut x, mut y) = (0u64, u64::from(salt));
    let rol = |value: u64, by: u32| (value << by | value >> (32 - by)) & 0xffff_ffff;
    for word in padded.chunks(4) {
        let a = u64::from(word[0])
            | u64::from(word[1]) << 8
            | u64::from(word[2]) << 16
            | u64::from(word[3]) << 24;
        x ^= a;
        y ^= x;
        x = (rol(x, 7) + y) & 0xffff_ffff;
        y = (rol(y, 20) * 9) & 0xffff_ffff;
    }
    let folded = (x * 0x61c8_8647) & 0xffff_ffff;
    (((y ^ folded) * 0x61c8_8647) & 0xffff_ffff) as u32
}

/// The key that a file's name stands for.
fn decode(name: &[u8]) -> Vec<u8> {
    let (form, rest) = name.split_first().unwrap();
    match form {
        b'D' => rest.to_vec(),
        b'P' => {
            let mut parts = rest.split(|byte| *byte == b'%');
            let mut key = parts.next().unwrap().to_vec();
            for part in parts {
                let (digits, plain) = part.split_at(2);
                let digits = std::str::from_utf8(digits).unwrap();
                assert_eq!(digits, digits.to_lowercase());
                key.push(u8::from_str_radix(digits, 16).unwrap());
                key.extend(plain);
            }
            key
        }
        other => panic!("form {other}"),
    }
}

fn file(key: &[u8]) -> Result<Vec<u8>, Errno> {
    cookie_file(key, &mut [0xff; NAME_MAX]).map(<[u8]>::to_vec)
}

fn dir(key: &[u8]) -> Result<Vec<u8>, Errno> {
    volume_dir(key, &mut [0xff; NAME_MAX]).map(<[u8]>::to_vec)
}

#[test]
fn printable_keys_are_stored_as_they_are() {
    assert_eq!(dir(b"erofs,a b\xff").unwrap(), b"Ierofs,a b\xff");
    assert_eq!(file(b"blob-1.meta").unwrap(), b"Dblob-1.meta");
    assert_eq!(file(b"!.0\x7f%").unwrap(), b"D!.0\x7f%");
}

#[test]
fn other_keys_are_escaped() {
    assert_eq!(file(b"a/b c").unwrap(), b"Pa%2fb%20c");
    assert_eq!(file(b"%/").unwrap(), b"P%25%2f");
    assert_eq!(file(b"\x00\x80\xff").unwrap(), b"P%00%80%ff");
}

#[test]
fn lengths_of_keys() {
    let long = [b'k'; 256];
    assert_eq!(file(&long[..1]).unwrap(), b"Dk");
    assert_eq!(file(&long[..254]).unwrap().len(), NAME_MAX);
    assert_eq!(file(&long[..255]), Err(Errno::ENAMETOOLONG));
    assert_eq!(file(&long), Err(Errno::ENAMETOOLONG));
    assert_eq!(file(&[0; 84]).unwrap().len(), 1 + 3 * 84);
    assert_eq!(file(&[0; 85]), Err(Errno::ENAMETOOLONG));
    assert_eq!(file(b""), Err(Errno::EINVAL));

    assert_eq!(dir(&long[..254]).unwrap().len(), NAME_MAX);
    assert_eq!(dir(&long[..255]), Err(Errno::ENAMETOOLONG));
    // docs/spec/cachefiles-ondemand.md section 9.1: a volume key of more than 255 bytes.
    assert_eq!(dir(&long), Err(Errno::ENOMEM));
    assert_eq!(dir(b""), Err(Errno::EINVAL));
    assert_eq!(dir(b"erofs,a/b"), Err(Errno::EINVAL));
    assert_eq!(dir(b"erofs,a\0b"), Err(Errno::EINVAL));
}

#[test]
fn fan_out_is_the_low_byte() {
    assert_eq!(&fan_out_dir(0), b"@00");
    assert_eq!(&fan_out_dir(0x1234_56a9), b"@a9");
    assert_eq!(&fan_out_dir(0xffff_ff0f), b"@0f");
    assert_eq!(&fan_out_dir(u32::MAX), b"@ff");
}

proptest! {
    #[test]
    fn hashes_are_the_formulas(
        volume in proptest::collection::vec(any::<u8>(), 1..=255),
        cookie in proptest::collection::vec(any::<u8>(), 1..=255),
    ) {
        let mut framed = vec![volume.len() as u8];
        framed.extend(&volume);
        framed.push(0);
        let salt = hash(0, &framed);
        prop_assert_eq!(volume_hash(&volume), salt);
        prop_assert_eq!(cookie_hash(salt, &cookie), hash(salt, &cookie));
    }

    #[test]
    fn a_files_name_is_one_component_and_stands_for_its_key(
        key in prop_oneof![
            proptest::collection::vec(any::<u8>(), 1..=255),
            proptest::collection::vec(b' '..=b'~', 1..=255),
            proptest::collection::vec(b'0'..=b'~', 1..=255),
        ],
    ) {
        let plain = |byte: &u8| matches!(byte, 0x21..=0x2e | 0x30..=0x7f);
        let len = match key.iter().all(plain) {
            true => 1 + key.len(),
            false => key
                .iter()
                .map(|byte| if plain(byte) && *byte != b'%' { 1 } else { 3 })
                .sum::<usize>() + 1,
        };
        match file(&key) {
            Ok(name) => {
                prop_assert_eq!(name.len(), len);
                prop_assert!(len <= NAME_MAX);
                prop_assert!(!name.contains(&b'/') && !name.contains(&0));
                prop_assert_eq!(decode(&name), key);
            }
            Err(errno) => {
                prop_assert_eq!(errno, Errno::ENAMETOOLONG);
                prop_assert!(len > NAME_MAX);
            }
        }
    }

    #[test]
    fn a_volumes_name_is_one_component(key in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(name) = dir(&key) {
            prop_assert!(name.len() <= NAME_MAX);
            prop_assert!(!name.contains(&b'/') && !name.contains(&0));
            prop_assert_eq!(&name[1..], key);
        }
    }
}
