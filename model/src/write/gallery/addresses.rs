// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Sample images with unusual locations of nid 0 and block 0, and addresses of more than 32 bits
//! (docs/spec/erofs-format.md sections 1, 2.4 and 4.3).

use super::trees::{chunked, sample};
use super::{sample_image, SampleImage};
use crate::tree::{ChunkMap, InodeForm, Layout};
use crate::write::ImageOptions;

pub(super) fn samples() -> Vec<SampleImage> {
    let small = ImageOptions::with_block_bits(9);
    let inline = Layout::inline();
    vec![
        sample_image(
            "meta-block",
            "nid 0 is not at the start of the image",
            sample(512, &inline),
            ImageOptions {
                meta_block: 37,
                ..small.clone()
            },
        ),
        sample_image(
            "data-block",
            "data far behind the metadata",
            sample(512, &inline),
            ImageOptions {
                data_block: 10_000,
                ..small.clone()
            },
        ),
        sample_image(
            "wide",
            "48BIT: the root nid and the block count have high words",
            sample(512, &inline),
            ImageOptions {
                wide: true,
                ..small.clone()
            },
        ),
        sample_image(
            "terse",
            "features are used whose bits are not set",
            sample(512, &chunked(1, ChunkMap::Indexes48, &[])),
            ImageOptions {
                terse_features: true,
                ..small.clone()
            },
        ),
        sample_image(
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
        sample_image(
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
