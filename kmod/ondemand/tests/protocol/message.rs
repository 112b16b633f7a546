// SPDX-License-Identifier: GPL-2.0

//! Messages, read back as a daemon reads them.

use ondine_ondemand::message::{HEADER_SIZE, SIZE_MAX};
use ondine_ondemand::Message;
use proptest::prelude::*;

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// A message as the daemon decodes it: msg_id, object_id and the payload.
fn decode(bytes: &[u8]) -> (u32, u32, Message<'_>) {
    assert_eq!(u32_at(bytes, 8) as usize, bytes.len());
    let message = match u32_at(bytes, 4) {
        0 => {
            let volume_size = u32_at(bytes, 16) as usize;
            let cookie_size = u32_at(bytes, 20) as usize;
            assert_eq!(u32_at(bytes, 28), 0, "flags");
            let (volume, cookie) = bytes[32..].split_at(volume_size);
            assert_eq!(cookie.len(), cookie_size);
            let (nul, volume_key) = volume.split_last().unwrap();
            assert_eq!(*nul, 0);
            Message::Open {
                volume_key,
                cookie_key: cookie,
                fd: u32_at(bytes, 24),
            }
        }
        1 => {
            assert_eq!(bytes.len(), 16);
            Message::Close
        }
        2 => {
            assert_eq!(bytes.len(), 32);
            Message::Read {
                offset: u64_at(bytes, 16),
                len: u64_at(bytes, 24),
            }
        }
        other => panic!("opcode {other}"),
    };
    (u32_at(bytes, 0), u32_at(bytes, 12), message)
}

#[test]
fn an_open_byte_by_byte() {
    let message = Message::Open {
        volume_key: b"erofs,a",
        cookie_key: b"blob",
        fd: 7,
    };
    let mut buf = [0xff; SIZE_MAX];
    assert_eq!(message.encode(3, 0x0102_0304, &mut buf), Some(44));
    let words: Vec<u8> = [3u32, 0, 44, 0x0102_0304, 8, 4, 7, 0]
        .iter()
        .flat_map(|word| word.to_ne_bytes())
        .collect();
    assert_eq!(buf[..32], words);
    assert_eq!(&buf[32..44], b"erofs,a\0blob");
    assert!(
        buf[44..].iter().all(|byte| *byte == 0xff),
        "written past its end"
    );
}

#[test]
fn the_longest_keys_fit_in_the_daemons_buffer() {
    let message = Message::Open {
        volume_key: &[b'v'; 255],
        cookie_key: &[b'c'; 255],
        fd: u32::MAX,
    };
    assert_eq!(message.size(), 16 + 16 + 256 + 255);
    assert!(message.size() <= SIZE_MAX);
}

#[test]
fn a_close_is_a_bare_header() {
    let mut buf = [0; HEADER_SIZE];
    // In the C driver, races can make an object_id of -1.
    assert_eq!(Message::Close.encode(0, u32::MAX, &mut buf), Some(16));
    assert_eq!(decode(&buf), (0, u32::MAX, Message::Close));
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        kind in 0..3,
        volume in proptest::collection::vec(1u8.., 1..=255),
        cookie in proptest::collection::vec(any::<u8>(), 1..=255),
        msg_id: u32,
        object_id: u32,
        fd: u32,
        offset: u64,
        len: u64,
    ) {
        let message = match kind {
            0 => Message::Open { volume_key: &volume, cookie_key: &cookie, fd },
            1 => Message::Close,
            _ => Message::Read { offset, len },
        };
        let mut buf = [0; SIZE_MAX];
        let size = message.encode(msg_id, object_id, &mut buf).unwrap();
        prop_assert_eq!(size, message.size());
        prop_assert_eq!(decode(&buf[..size]), (msg_id, object_id, message));
        // Exactly this much is enough, and nothing less is.
        prop_assert_eq!(message.encode(msg_id, object_id, &mut buf[..size]), Some(size));
        for short in [0, HEADER_SIZE - 1, size - 1] {
            prop_assert_eq!(message.encode(msg_id, object_id, &mut buf[..short]), None);
        }
    }
}
