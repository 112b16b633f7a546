// SPDX-License-Identifier: GPL-2.0

//! Error numbers.

use ondine_ondemand::Errno;

#[test]
fn numbers_from_1_to_4095_are_errnos() {
    for number in 1..=4095 {
        assert_eq!(Errno::from_number(number).unwrap().number(), number);
    }
    for number in [i32::MIN, -1, 0, 4096, 65537, i32::MAX] {
        assert_eq!(Errno::from_number(number), None, "{number}");
    }
}

#[test]
fn the_named_ones_have_the_numbers_of_the_specification() {
    for (errno, number) in [
        (Errno::EPERM, 1),
        (Errno::ENOENT, 2),
        (Errno::EINTR, 4),
        (Errno::EIO, 5),
        (Errno::EBUSY, 16),
        (Errno::EEXIST, 17),
        (Errno::EINVAL, 22),
        (Errno::EMFILE, 24),
        (Errno::ENOSPC, 28),
        (Errno::EROFS, 30),
        (Errno::ERANGE, 34),
        (Errno::EBADFD, 77),
        (Errno::EMSGSIZE, 90),
        (Errno::EOPNOTSUPP, 95),
        (Errno::ENOBUFS, 105),
        (Errno::ESTALE, 116),
    ] {
        assert_eq!(errno.number(), number);
    }
}
