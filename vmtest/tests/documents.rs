// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Documents and comments that do not rot: each link and each citation leads to something in the repository, and
//! each doc comment opens with a noun phrase or a verb.

mod documents {
    mod citation;
    mod citations;
    mod comment;
    mod itself;
    mod links;
    mod markdown;
    mod tree;
}
