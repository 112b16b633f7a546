// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Circles of a directed graph, found by Tarjan's algorithm for strongly connected components.

use std::collections::BTreeSet;

/// The strongly connected components with at least two nodes, of a graph of `count` nodes (numbered
/// from 0). Components, and the nodes in each, are sorted.
pub(super) fn circles(count: usize, edges: &BTreeSet<(usize, usize)>) -> Vec<Vec<usize>> {
    let mut next = vec![Vec::new(); count];
    for &(from, to) in edges {
        next[from].push(to);
    }
    let mut search = Search {
        next,
        order: vec![None; count],
        lowest: vec![0; count],
        stacked: vec![false; count],
        stack: Vec::new(),
        visited: 0,
        found: Vec::new(),
    };
    for node in 0..count {
        if search.order[node].is_none() {
            search.visit(node);
        }
    }
    search.found.sort();
    search.found
}

struct Search {
    next: Vec<Vec<usize>>,
    order: Vec<Option<usize>>,
    /// The smallest visiting order that each node reaches.
    lowest: Vec<usize>,
    stacked: Vec<bool>,
    stack: Vec<usize>,
    visited: usize,
    found: Vec<Vec<usize>>,
}

impl Search {
    /// Visits `node` and the nodes below it. The recursion is at most as deep as the number of
    /// nodes, which are source files.
    fn visit(&mut self, node: usize) {
        let order = self.visited;
        self.visited += 1;
        self.order[node] = Some(order);
        self.lowest[node] = order;
        self.stack.push(node);
        self.stacked[node] = true;
        for to in self.next[node].clone() {
            match self.order[to] {
                None => {
                    self.visit(to);
                    self.lowest[node] = self.lowest[node].min(self.lowest[to]);
                }
                Some(order) if self.stacked[to] => {
                    self.lowest[node] = self.lowest[node].min(order);
                }
                Some(_) => {}
            }
        }
        if self.lowest[node] != order {
            return;
        }
        let mut group = Vec::new();
        while let Some(one) = self.stack.pop() {
            self.stacked[one] = false;
            group.push(one);
            if one == node {
                break;
            }
        }
        if group.len() > 1 {
            group.sort_unstable();
            self.found.push(group);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(edges: &[(usize, usize)]) -> Vec<Vec<usize>> {
        circles(8, &edges.iter().copied().collect())
    }

    #[test]
    fn a_graph_without_circles_has_none() {
        assert!(found(&[(0, 1), (0, 2), (1, 3), (2, 3), (3, 3)]).is_empty());
    }

    #[test]
    fn circles_are_found_apart_and_joined() {
        assert_eq!(found(&[(0, 1), (1, 0), (2, 3), (3, 2), (1, 2)]).len(), 2);
        let joined = [(0, 1), (1, 2), (2, 0), (2, 4), (4, 5), (5, 2), (6, 0)];
        assert_eq!(found(&joined), [[0, 1, 2, 4, 5]]);
    }
}
