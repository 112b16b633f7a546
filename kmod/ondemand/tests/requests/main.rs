// SPDX-License-Identifier: GPL-2.0

//! The request table: what is asked, delivered and answered, and what ends a
//! request.

mod answers;
mod asking;
mod census;
mod delivery;
mod endings;
mod random;
mod table;
