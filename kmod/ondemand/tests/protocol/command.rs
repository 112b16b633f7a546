// SPDX-License-Identifier: GPL-2.0

//! Commands: each row of docs/spec/cachefiles-ondemand.md sections 2 and 5.1, then
//! numbers and random bytes.

use ondine_ondemand::command::{Mode, TEXT_MAX};
use ondine_ondemand::limits::{Resource, Threshold};
use ondine_ondemand::{Answer, Command, Errno};
use proptest::prelude::*;

fn parse(text: &[u8]) -> Result<Command<'_>, Errno> {
    Command::parse(text)
}

/// Every text gives this errno.
fn refused(errno: Errno, texts: &[&[u8]]) {
    for text in texts {
        assert_eq!(parse(text), Err(errno), "{}", text.escape_ascii());
    }
}

fn copen(msg_id: u32, answer: Answer) -> Result<Command<'static>, Errno> {
    Ok(Command::Copen { msg_id, answer })
}

#[test]
fn text_that_is_too_long() {
    let text = |len| {
        let mut text = b"dir /".to_vec();
        text.resize(len, b'x');
        text
    };
    assert_eq!(
        parse(&text(TEXT_MAX)),
        Ok(Command::Dir(&text(TEXT_MAX)[4..]))
    );
    assert_eq!(parse(&text(TEXT_MAX + 1)), Err(Errno::EOPNOTSUPP));
    // The length goes before everything else.
    assert_eq!(parse(&[0; TEXT_MAX + 1]), Err(Errno::EOPNOTSUPP));
}

#[test]
fn a_nul_or_a_newline_in_front() {
    refused(
        Errno::EINVAL,
        &[
            b"dir /a\0",
            b"\0",
            b"\n",
            b"\ndir /a",
            b"nonsense\0",
            // Also behind what is used.
            b"dir /a\nrest\0",
        ],
    );
}

#[test]
fn no_word_or_an_unknown_one() {
    refused(
        Errno::EOPNOTSUPP,
        &[
            b"",
            b" dir /a",
            b"\tdir /a",
            b" ",
            b" \n",
            b"nonsense",
            b"DIR /a",
            b"di /a",
            b"dirs /a",
            b"dir/a",
            b"copen,1,2",
        ],
    );
}

#[test]
fn text_up_to_the_first_newline() {
    assert_eq!(parse(b"tag a\n"), Ok(Command::Tag(b"a")));
    assert_eq!(parse(b"tag a\ntag b"), Ok(Command::Tag(b"a")));
    assert_eq!(parse(b"tag a\n\n"), Ok(Command::Tag(b"a")));
    assert_eq!(parse(b"tag\na"), Err(Errno::EINVAL));
}

#[test]
fn leading_spaces_of_an_argument_are_skipped_and_trailing_ones_kept() {
    assert_eq!(
        parse(b"dir \t\x0b\x0c\r /a b \t"),
        Ok(Command::Dir(b"/a b \t"))
    );
    assert_eq!(parse(b"dir\t/a"), Ok(Command::Dir(b"/a")));
    assert_eq!(parse(b"dir\xa0/a"), Ok(Command::Dir(b"/a")));
}

#[test]
fn words_that_need_an_argument() {
    assert_eq!(parse(b"dir /a"), Ok(Command::Dir(b"/a")));
    assert_eq!(parse(b"tag mine"), Ok(Command::Tag(b"mine")));
    assert_eq!(parse(b"secctx u:r:t"), Ok(Command::Secctx(b"u:r:t")));
    refused(
        Errno::EINVAL,
        &[
            b"dir",
            b"dir  ",
            b"dir \n",
            b"tag",
            b"tag ",
            b"secctx",
            b"secctx\t",
        ],
    );
}

#[test]
fn thresholds() {
    for (word, resource, threshold) in [
        ("frun", Resource::Files, Threshold::Run),
        ("fcull", Resource::Files, Threshold::Cull),
        ("fstop", Resource::Files, Threshold::Stop),
        ("brun", Resource::Blocks, Threshold::Run),
        ("bcull", Resource::Blocks, Threshold::Cull),
        ("bstop", Resource::Blocks, Threshold::Stop),
    ] {
        for (argument, percent) in [
            ("0%", 0),
            ("7%", 7),
            ("99%", 99),
            ("010%", 10),
            ("255%", 255),
        ] {
            assert_eq!(
                parse(format!("{word} {argument}").as_bytes()),
                Ok(Command::Limit {
                    resource,
                    threshold,
                    percent
                }),
            );
        }
        for argument in [
            "",
            "7",
            "%",
            "7 %",
            "7% ",
            "7%%",
            "-1%",
            "+1%",
            "0x7%",
            "a%",
            "256%",
            "18446744073709551623%",
        ] {
            let text = format!("{word} {argument}");
            refused(Errno::EINVAL, &[text.as_bytes()]);
        }
    }
}

#[test]
fn bind() {
    assert_eq!(parse(b"bind"), Ok(Command::Bind(Some(Mode::Cache))));
    assert_eq!(parse(b"bind \n"), Ok(Command::Bind(Some(Mode::Cache))));
    assert_eq!(
        parse(b"bind ondemand"),
        Ok(Command::Bind(Some(Mode::OnDemand)))
    );
    for text in [
        &b"bind ondemand "[..],
        b"bind on",
        b"bind ondemands",
        b"bind x",
    ] {
        assert_eq!(parse(text), Ok(Command::Bind(None)));
    }
}

#[test]
fn cull_and_inuse() {
    assert_eq!(parse(b"cull Dblob"), Ok(Command::Cull(b"Dblob")));
    assert_eq!(parse(b"inuse Dblob"), Ok(Command::InUse(b"Dblob")));
    refused(
        Errno::EINVAL,
        &[b"cull a/b", b"cull /", b"inuse /a", b"inuse a/"],
    );
}

#[test]
fn debug() {
    for (text, mask) in [
        (&b"debug 0"[..], 0),
        (b"debug 10", 10),
        (b"debug 0x1F", 31),
        (b"debug 017", 15),
        (b"debug 18446744073709551615", u64::MAX),
    ] {
        assert_eq!(parse(text), Ok(Command::Debug(mask)));
    }
    refused(
        Errno::EINVAL,
        &[
            b"debug",
            b"debug x",
            b"debug 1x",
            b"debug 08",
            b"debug 0x",
            b"debug -1",
            b"debug 18446744073709551616",
        ],
    );
}

#[test]
fn restore_takes_anything() {
    assert_eq!(parse(b"restore"), Ok(Command::Restore));
    assert_eq!(parse(b"restore now, please"), Ok(Command::Restore));
}

#[test]
fn an_answer_that_is_a_size() {
    for (text, id, size) in [
        (&b"copen 0,0"[..], 0, 0),
        (b"copen 3,4096\n", 3, 4096),
        (b"copen 0x10,010", 16, 8),
        (b"copen +1,+2", 1, 2),
        (b"copen 1,-0", 1, 0),
        (
            b"copen 4294967295,9223372036854775807",
            u32::MAX,
            i64::MAX as u64,
        ),
        (b"copen 1,0x7fffffffffffffff", 1, i64::MAX as u64),
    ] {
        assert_eq!(parse(text), copen(id, Answer::Size(size)));
    }
}

#[test]
fn an_answer_that_is_an_errno() {
    for number in 1..=4095 {
        let errno = Errno::from_number(number).unwrap();
        assert_eq!(
            parse(format!("copen 1,-{number}").as_bytes()),
            copen(1, Answer::Refused(errno))
        );
    }
    assert_eq!(
        parse(b"copen 1,-0x2"),
        copen(1, Answer::Refused(Errno::ENOENT))
    );
}

#[test]
fn an_answer_below_every_errno() {
    for text in [
        &b"copen 1,-4096"[..],
        b"copen 1,-4294967298",
        b"copen 1,-9223372036854775808",
    ] {
        assert_eq!(parse(text), copen(1, Answer::Bad(Errno::EINVAL)));
    }
}

#[test]
fn an_answer_that_is_no_number() {
    for size in [
        "", " 1", "1 ", "x", "1x", "-", "--1", "-+1", "+-1", "0x", "08", "1,2", "1.5", "\u{a0}1",
    ] {
        assert_eq!(
            parse(format!("copen 1,{size}").as_bytes()),
            copen(1, Answer::Bad(Errno::EINVAL)),
            "{size}"
        );
    }
    for size in [
        "9223372036854775808",
        "-9223372036854775809",
        "18446744073709551616",
        "-18446744073709551616",
        "99999999999999999999x",
    ] {
        assert_eq!(
            parse(format!("copen 1,{size}").as_bytes()),
            copen(1, Answer::Bad(Errno::ERANGE)),
            "{size}"
        );
    }
}

#[test]
fn no_comma_empty_or_a_bad_id() {
    refused(
        Errno::EINVAL,
        &[
            b"copen",
            b"copen ",
            b"copen 1",
            b"copen 1 2",
            b"copen ,1",
            b"copen x,1",
            b"copen -1,1",
            b"copen 1 ,1",
            b"copen 08,1",
            b"copen 0x,1",
            // A number, and no request's.
            b"copen 4294967296,1",
            b"copen 18446744073709551615,1",
        ],
    );
    refused(
        Errno::ERANGE,
        &[
            b"copen 18446744073709551616,1",
            b"copen 99999999999999999999x,1",
        ],
    );
}

/// A number of any size in any base that can be written.
fn written(value: i128, base: u32) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let size = value.unsigned_abs();
    match base {
        8 => format!("{sign}0{size:o}"),
        10 => format!("{sign}{size}"),
        16 => format!("{sign}0x{size:x}"),
        _ => format!("{sign}0X{size:X}"),
    }
}

fn base() -> impl Strategy<Value = u32> {
    prop_oneof![Just(8), Just(10), Just(16), Just(17)]
}

/// Numbers, most of them near an edge.
fn value() -> impl Strategy<Value = i128> {
    let edge = prop_oneof![
        Just(0i128),
        Just(-4095),
        Just(1 << 32),
        Just(1 << 63),
        Just(-(1 << 63)),
        Just(1 << 64),
        Just(-(1 << 64)),
    ];
    prop_oneof![
        (edge, -3i128..=3).prop_map(|(edge, off)| edge + off),
        any::<i64>().prop_map(i128::from),
        any::<i128>().prop_map(|value| value / 2),
    ]
}

proptest! {
    #[test]
    fn numbers_of_a_copen(id in value(), size in value(), id_base in base(), size_base in base()) {
        let text = format!("copen {},{}", written(id, id_base), written(size, size_base));
        let answer = match size {
            0..=0x7fff_ffff_ffff_ffff => Answer::Size(size as u64),
            -4095..=-1 => Answer::Refused(Errno::from_number(-size as i32).unwrap()),
            -0x8000_0000_0000_0000..=-4096 => Answer::Bad(Errno::EINVAL),
            _ => Answer::Bad(Errno::ERANGE),
        };
        let expected = match id {
            0..=0xffff_ffff => copen(id as u32, answer),
            0x1_0000_0000..=0xffff_ffff_ffff_ffff => Err(Errno::EINVAL),
            ..0 => Err(Errno::EINVAL),
            _ => Err(Errno::ERANGE),
        };
        prop_assert_eq!(parse(text.as_bytes()), expected);
    }

    #[test]
    fn noise_keeps_every_promise(
        word in prop_oneof![
            Just("dir"), Just("tag"), Just("cull"), Just("frun"), Just("copen"), Just("bind"), Just(""),
        ],
        noise in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..40),
            "[ 0-9,%x\n-]{0,12}".prop_map(String::into_bytes),
        ],
    ) {
        let text = [word.as_bytes(), &noise].concat();
        match parse(&text) {
            Ok(Command::Dir(argument) | Command::Tag(argument) | Command::Secctx(argument)) => {
                prop_assert!(!argument.is_empty() && !argument.contains(&b'\n'));
            }
            Ok(Command::Cull(name) | Command::InUse(name)) => {
                prop_assert!(!name.contains(&b'/') && !name.contains(&b'\n'));
            }
            Ok(Command::Copen { answer: Answer::Size(size), .. }) => {
                prop_assert!(i64::try_from(size).is_ok());
            }
            Ok(Command::Copen { answer: Answer::Bad(errno), .. }) => {
                prop_assert!([Errno::EINVAL, Errno::ERANGE].contains(&errno));
            }
            Ok(_) => {}
            Err(errno) => prop_assert!(
                [Errno::EINVAL, Errno::ERANGE, Errno::EOPNOTSUPP].contains(&errno)
            ),
        }
    }
}
