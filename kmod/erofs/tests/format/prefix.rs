// SPDX-License-Identifier: GPL-2.0

use ondine_erofs::prefix::RECORD_MAX;
use ondine_erofs::{Defect, Error, PrefixReader};

use crate::image::Image;

type Records = Result<Vec<(u8, Vec<u8>)>, Error<()>>;

fn read(count: u8, table: &[u8]) -> Records {
    let mut image = Image::new(12, 8192);
    image.sb(91, &[count]).sb(92, &(7168u32 / 4).to_le_bytes());
    image.put(7168, table);
    let mut reader = PrefixReader::new(&image.super_block());
    assert_eq!(reader.remaining(), count);
    let mut buf = [0; RECORD_MAX];
    let mut records = Vec::new();
    while let Some(record) = reader.next(&image, &mut buf)? {
        records.push((record.base_index, record.infix.to_vec()));
    }
    assert_eq!(reader.next(&image, &mut buf), Ok(None));
    Ok(records)
}

#[test]
fn records_are_aligned() {
    let table = b"\x04\x00\x01abc\0\0\x01\x00\x06\0\x02\x00\x04z";
    let records = [(1, b"abc".to_vec()), (6, Vec::new()), (4, b"z".to_vec())];
    assert_eq!(read(3, table).unwrap(), records);
    assert_eq!(read(0, table).unwrap(), []);
}

#[test]
fn lengths() {
    for (length, good) in [(0u16, false), (1, true), (256, true), (257, false)] {
        let mut table = length.to_le_bytes().to_vec();
        table.extend([b'x'; 256]);
        let records = read(1, &table);
        if good {
            let infix = vec![b'x'; usize::from(length) - 1];
            assert_eq!(records.unwrap(), [(b'x', infix)]);
        } else {
            assert_eq!(records, Err(Error::Defect(Defect::PrefixLength)));
        }
    }
}

#[test]
fn past_the_image() {
    let mut table = vec![0; 1024];
    table[0] = 1;
    // 255 records of 4 bytes, all but the first of length 0.
    let records = read(255, &table);
    assert_eq!(records, Err(Error::Defect(Defect::PrefixLength)));
    let records = read(255, &[1, 0, 1, 0].repeat(256));
    assert_eq!(records.unwrap().len(), 255);
}
