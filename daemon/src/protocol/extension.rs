// SPDX-License-Identifier: Apache-2.0 OR MIT

//! What `ondine.ko` offers beyond the old protocol, off until a daemon asks for it: the place for the
//! query and the switch on the device, and for an answer to a READ that carries an errno.
//!
//! Nothing is defined yet: the numbers are the kernel side's to give. The C driver answers any ioctl
//! on the device with ENOTTY, by which a daemon knows that there are none.
