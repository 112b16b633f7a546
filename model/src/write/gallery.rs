// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Named images.

/// stub
pub fn gallery() {}
