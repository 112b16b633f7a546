// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The paths that an item mentions: in types, expressions, patterns, attributes, imports inside
//! functions, and in the tokens of macros, which `syn` does not parse.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, Ident, ImplItem, Item, Meta, TraitItem, UseTree};

/// A path in the code, such as `super::table::State`.
#[derive(Clone, Debug)]
pub(super) struct Mention {
    /// The segments of the path.
    pub(super) path: Vec<String>,
    /// The line, from 1.
    pub(super) line: usize,
    /// True for a reexport (`pub use`).
    pub(super) handed_on: bool,
}

/// The paths and imports of one item.
#[derive(Debug, Default)]
pub(super) struct Mentions {
    pub(super) mentions: Vec<Mention>,
    /// Names that `use` items inside functions import, each with its path.
    pub(super) imports: Vec<(String, Vec<String>)>,
    /// Paths of `use path::*` inside functions.
    pub(super) globs: Vec<Vec<String>>,
}

/// Collects the paths and imports of `item`.
pub(super) fn of(item: &Item) -> Mentions {
    let mut found = Mentions::default();
    found.visit_item(item);
    found
}

/// An import of a `use` item.
pub(super) struct Import {
    /// The name in the importing module; `None` for `use path::*`.
    pub(super) name: Option<String>,
    pub(super) path: Vec<String>,
    pub(super) line: usize,
}

/// The imports of `tree`, whose paths begin with `prefix`.
pub(super) fn imports(tree: &UseTree, prefix: &mut Vec<String>) -> Vec<Import> {
    let leaf = |ident: &Ident, name: &Ident, prefix: &[String]| {
        let mut path = prefix.to_vec();
        if ident != "self" || path.is_empty() {
            path.push(ident.unraw().to_string());
        }
        let name = match name == "self" {
            true => path.last().cloned(),
            false => Some(name.unraw().to_string()),
        };
        Import {
            name,
            path,
            line: ident.span().start().line,
        }
    };
    match tree {
        UseTree::Path(path) => {
            prefix.push(path.ident.unraw().to_string());
            let found = imports(&path.tree, prefix);
            prefix.pop();
            found
        }
        UseTree::Name(one) => vec![leaf(&one.ident, &one.ident, prefix)],
        UseTree::Rename(one) => vec![leaf(&one.ident, &one.rename, prefix)],
        UseTree::Glob(glob) => vec![Import {
            name: None,
            path: prefix.clone(),
            line: glob.span().start().line,
        }],
        UseTree::Group(group) => group
            .items
            .iter()
            .flat_map(|one| imports(one, prefix))
            .collect(),
    }
}

/// The name that `item` defines in its module.
pub(super) fn name(item: &Item) -> Option<&Ident> {
    Some(match item {
        Item::Const(one) => &one.ident,
        Item::Enum(one) => &one.ident,
        Item::Fn(one) => &one.sig.ident,
        Item::Macro(one) => one.ident.as_ref()?,
        Item::Static(one) => &one.ident,
        Item::Struct(one) => &one.ident,
        Item::Trait(one) => &one.ident,
        Item::TraitAlias(one) => &one.ident,
        Item::Type(one) => &one.ident,
        Item::Union(one) => &one.ident,
        _ => return None,
    })
}

/// The attributes of `item`.
pub(super) fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(one) => &one.attrs,
        Item::Enum(one) => &one.attrs,
        Item::ExternCrate(one) => &one.attrs,
        Item::Fn(one) => &one.attrs,
        Item::ForeignMod(one) => &one.attrs,
        Item::Impl(one) => &one.attrs,
        Item::Macro(one) => &one.attrs,
        Item::Mod(one) => &one.attrs,
        Item::Static(one) => &one.attrs,
        Item::Struct(one) => &one.attrs,
        Item::Trait(one) => &one.attrs,
        Item::TraitAlias(one) => &one.attrs,
        Item::Type(one) => &one.attrs,
        Item::Union(one) => &one.attrs,
        Item::Use(one) => &one.attrs,
        _ => &[],
    }
}

/// True if an item with these attributes is compiled for tests only: `#[test]`, or a `#[cfg]` that
/// requires `test`.
pub(super) fn under_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|one| {
        one.path().is_ident("test")
            || (one.path().is_ident("cfg")
                && matches!(&one.meta, Meta::List(list) if asks_for_test(list.tokens.clone())))
    })
}

/// True for `test` alone or in `all(..)`; not for `any(test, x)` and `not(test)`, which also hold
/// in other builds.
fn asks_for_test(tokens: TokenStream) -> bool {
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        let TokenTree::Ident(word) = token else {
            continue;
        };
        if word == "test" {
            return true;
        }
        if let Some(TokenTree::Group(group)) = tokens.peek() {
            if word == "all" && asks_for_test(group.stream()) {
                return true;
            }
        }
    }
    false
}

/// The value of `#[path = ".."]`.
pub(super) fn path_attribute(attributes: &[Attribute]) -> Option<String> {
    attributes.iter().find_map(|one| match &one.meta {
        Meta::NameValue(pair) if pair.path.is_ident("path") => match &pair.value {
            syn::Expr::Lit(syn::ExprLit {
                lit: syn::Lit::Str(text),
                ..
            }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    })
}

impl Mentions {
    fn add(&mut self, path: Vec<String>, line: usize) {
        self.mentions.push(Mention {
            path,
            line,
            handed_on: false,
        });
    }

    /// Collects the paths among the tokens of a macro. A single word may be a field or a variable:
    /// it counts if it begins with a capital letter or is called.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut tokens = tokens.into_iter().peekable();
        let mut after_dot = false;
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Ident(word) => {
                    let line = word.span().start().line;
                    let mut path = vec![word.unraw().to_string()];
                    let mut called = false;
                    loop {
                        match tokens.peek() {
                            Some(TokenTree::Punct(p)) if p.as_char() == ':' => {
                                // A single colon, as in `a: b`, ends the path too.
                                let joint = p.spacing() == proc_macro2::Spacing::Joint;
                                tokens.next();
                                if joint {
                                    tokens.next();
                                }
                                match tokens.peek() {
                                    Some(TokenTree::Ident(next)) if joint => {
                                        path.push(next.unraw().to_string());
                                        tokens.next();
                                    }
                                    _ => break,
                                }
                            }
                            Some(TokenTree::Group(g)) => {
                                called = g.delimiter() == Delimiter::Parenthesis;
                                break;
                            }
                            _ => break,
                        }
                    }
                    let typed = path[0].starts_with(char::is_uppercase);
                    if !after_dot && (path.len() > 1 || typed || called) {
                        self.add(path, line);
                    }
                }
                TokenTree::Punct(ref p) if p.as_char() == '.' => {
                    after_dot = true;
                    continue;
                }
                _ => {}
            }
            after_dot = false;
        }
    }
}

impl<'ast> Visit<'ast> for Mentions {
    fn visit_item(&mut self, node: &'ast Item) {
        if !under_test(attributes(node)) {
            visit::visit_item(self, node);
        }
    }

    fn visit_impl_item(&mut self, node: &'ast ImplItem) {
        let attributes: &[Attribute] = match node {
            ImplItem::Const(one) => &one.attrs,
            ImplItem::Fn(one) => &one.attrs,
            ImplItem::Type(one) => &one.attrs,
            ImplItem::Macro(one) => &one.attrs,
            _ => &[],
        };
        if !under_test(attributes) {
            visit::visit_impl_item(self, node);
        }
    }

    fn visit_trait_item(&mut self, node: &'ast TraitItem) {
        let test = matches!(node, TraitItem::Fn(one) if under_test(&one.attrs));
        if !test {
            visit::visit_trait_item(self, node);
        }
    }

    fn visit_item_use(&mut self, node: &'ast syn::ItemUse) {
        for import in imports(&node.tree, &mut Vec::new()) {
            match import.name {
                None => self.globs.push(import.path),
                Some(name) => {
                    self.add(import.path.clone(), import.line);
                    self.imports.push((name, import.path));
                }
            }
        }
    }

    fn visit_path(&mut self, node: &'ast syn::Path) {
        let path = node.segments.iter().map(|s| s.ident.unraw().to_string());
        self.add(path.collect(), node.span().start().line);
        visit::visit_path(self, node);
    }

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_attribute(&mut self, node: &'ast Attribute) {
        if let Meta::List(list) = &node.meta {
            self.tokens(list.tokens.clone());
        }
    }

    fn visit_macro(&mut self, node: &'ast syn::Macro) {
        self.tokens(node.tokens.clone());
        visit::visit_macro(self, node);
    }
}
