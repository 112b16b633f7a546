// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The scenarios of the on-demand protocol: their language, and the messages that carry them to a
//! guest.
//!
//! | module | contents |
//! | --- | --- |
//! | [`lexer`] | the words of a step |
//! | [`op`] | the operations of an actor |
//! | [`step`] | the lines of a scenario |
//! | [`job`] | the job of the guest, and the lines of its results |

pub mod job;
pub mod lexer;
pub mod op;
pub mod step;
