// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Where nid 0 and block 0 are, and addresses of more than 32 bits (sections 1, 2.4 and 4.3).

use super::sample::{chunked, sample};
use super::{exhibit, Exhibit};
use crate::tree::{ChunkMap, InodeForm, Layout};
use crate::write::ImageOptions;

pub(super) fn exhibits() -> Vec<Exhibit> {
    let small = ImageOptions::with_block_bits(9);
    let inline = Layout::inline();
    vec![
        exhibit(
            "meta-block",
            "nid 0 is not at the start of the image",
            sample(512, &inline),
            ImageOptions {
                meta_block: 37,
                ..small.clone()
            },
        ),
        exhibit(
            "data-block",
            "data far behind the metadata",
            sample(512, &inline),
            ImageOptions {
                data_block: 10_000,
                ..small.clone()
            },
        ),
        exhibit(
            "wide",
            "48BIT: the root nid and the block count have high words",
            sample(512, &inline),
            ImageOptions {
                wide: true,
                ..small.clone()
            },
        ),
        exhibit(
            "terse",
            "features are used whose bits are not set",
            sample(512, &chunked(1, ChunkMap::Indexes48, &[])),
            ImageOptions {
                terse_features: true,
                ..small.clone()
            },
        ),
        exhibit(
            "start-48-huge",
            "plain and inline data behind block 2^32 of a 2 TiB image",
            sample(
                512,
                &Layout {
                    inode: InodeForm::CompactOneLink,
                    ..inline
                },
            ),
            ImageOptions {
                data_block: (1 << 32) + 5,
                ..small.clone()
            },
        ),
        exhibit(
            "chunks-48-huge",
            "chunks around block 2^32 of a 2 TiB image",
            sample(512, &chunked(0, ChunkMap::Indexes48, &[])),
            ImageOptions {
                data_block: (1 << 32) - 8,
                shuffle: Some(3),
                ..small
            },
        ),
    ]
}
