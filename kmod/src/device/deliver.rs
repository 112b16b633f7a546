// SPDX-License-Identifier: GPL-2.0

//! Reading messages from the device.

use super::handle::{Handle, HandleFile};
use crate::cache::{errno, Cache, ObjectRef};
use kernel::{
    fs::file::FileDescriptorReservation,
    prelude::*,
    sync::Arc,
    uaccess::UserSlice, //
};
use ondine_ondemand::{delivery::Receiver, Errno};

/// A read(2) of the device, into the buffer of a daemon.
pub(super) struct DeviceRead<'a> {
    pub(super) cache: &'a Arc<Cache>,
    pub(super) buffer: UserPtr,
    pub(super) len: usize,
}

/// The file of a new descriptor, and the number that is reserved for it.
pub(super) struct ReservedFile {
    reservation: FileDescriptorReservation,
    file: HandleFile,
}

impl Receiver<Cache> for DeviceRead<'_> {
    type File = ReservedFile;

    fn buffer_len(&self) -> usize {
        self.len
    }

    fn new_file(&mut self, object: &ObjectRef) -> core::result::Result<(ReservedFile, u32), Errno> {
        let reservation = FileDescriptorReservation::get_unused_fd_flags(0).map_err(errno)?;
        let file = Handle::new_file(self.cache, object).map_err(errno)?;
        let fd = reservation.reserved_fd();
        Ok((ReservedFile { reservation, file }, fd))
    }

    fn set_id(&mut self, file: &mut ReservedFile, id: u32) {
        file.file.set_id(id);
    }

    fn send(&mut self, message: &[u8]) -> core::result::Result<(), Errno> {
        let mut writer = UserSlice::new(self.buffer, self.len).writer();
        writer.write_slice(message).map_err(errno)
    }

    fn install(&mut self, file: ReservedFile) {
        file.reservation.fd_install(file.file.into_file());
    }
}
