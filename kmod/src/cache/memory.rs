// SPDX-License-Identifier: GPL-2.0

//! The request table in the kernel's memory.

use super::{Cache, ObjectRef};
use crate::vfs::CacheDir;
use core::mem::MaybeUninit;
use kernel::{
    prelude::*,
    rbtree::{RBTree, RBTreeNode, RBTreeNodeReservation},
    sync::{Arc, UniqueArc},
};
use ondine_ondemand::{
    requests::{Config, Lane, Map},
    state::Memory,
    Completion,
};

/// The reference to a completion that its waiters and the table hold.
pub(super) type CompletionRef = Arc<Completion<ObjectRef>>;

/// A tree whose nodes are charged to the memory cgroup of the task that submits a
/// request; of a deferred read, to that of the worker.
pub(crate) struct Tree<K, V> {
    tree: RBTree<K, V>,
    len: usize,
}

impl<K, V> Default for Tree<K, V> {
    fn default() -> Self {
        Self {
            tree: RBTree::new(),
            len: 0,
        }
    }
}

impl<K: Copy + Ord, V> Tree<K, V> {
    fn take(&mut self, key: K) -> Option<RBTreeNode<K, V>> {
        let node = self.tree.remove_node(&key)?;
        self.len = self.len.wrapping_sub(1);
        Some(node)
    }
}

impl<K: Copy + Ord, V> Map<K, V> for Tree<K, V> {
    type Node = RBTreeNodeReservation<K, V>;

    fn new_node() -> Option<Self::Node> {
        RBTreeNodeReservation::new(GFP_KERNEL_ACCOUNT).ok()
    }

    fn len(&self) -> usize {
        self.len
    }

    fn get(&self, key: K) -> Option<&V> {
        self.tree.get(&key)
    }

    fn get_mut(&mut self, key: K) -> Option<&mut V> {
        self.tree.get_mut(&key)
    }

    fn at_or_after(&self, key: K) -> Option<(K, &V)> {
        let cursor = self.tree.cursor_lower_bound(&key)?;
        let found = *cursor.current().0;
        Some((found, self.tree.get(&found)?))
    }

    fn insert(&mut self, node: Self::Node, key: K, value: V) {
        if self.tree.insert(node.into_node(key, value)).is_none() {
            self.len = self.len.wrapping_add(1);
        }
    }

    fn remove(&mut self, key: K) -> Option<V> {
        let (_, value) = self.take(key)?.to_key_value();
        Some(value)
    }

    fn reclaim(&mut self, key: K) -> Option<Self::Node> {
        Some(self.take(key)?.into_reservation())
    }
}

impl Config for Cache {
    type Completion = CompletionRef;
    type Object = ObjectRef;
    type Lane = Arc<Lane>;
    type Map<K: Copy + Ord, V> = Tree<K, V>;
}

impl Memory for Cache {
    type Directory = Arc<CacheDir>;
    type CompletionMemory = UniqueArc<MaybeUninit<Completion<ObjectRef>>>;

    fn completion_memory() -> Option<Self::CompletionMemory> {
        UniqueArc::new_uninit(GFP_KERNEL_ACCOUNT).ok()
    }

    fn completion(
        memory: Self::CompletionMemory,
        completion: Completion<ObjectRef>,
    ) -> CompletionRef {
        memory.write(completion).into()
    }
}
