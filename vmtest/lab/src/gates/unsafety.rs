// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The unsafe check: `unsafe` occurs only in some folders of `kmod/`, and each block and impl has a
//! SAFETY comment.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use proc_macro2::{Delimiter, Span, TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::files_below;

/// Folders below `kmod/` that may contain `unsafe`.
const FOLDERS: &[&str] = &["src/sys", "src/vfs", "src/device"];

/// A violation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file, below `kmod/`.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The violation, in words.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.what)
    }
}

/// Checks every Rust file below `kmod`.
///
/// # Errors
/// When a file cannot be read or parsed.
pub fn check(kmod: &Path) -> Result<Vec<Fault>> {
    let mut files = Vec::new();
    files_below(kmod, &mut files)?;
    files.sort();
    let mut faults = Vec::new();
    for path in files {
        if path.extension().is_none_or(|end| end != "rs") {
            continue;
        }
        let file = path.strip_prefix(kmod)?;
        let text =
            fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        faults.extend(check_rust(file, &text)?);
    }
    Ok(faults)
}

/// Checks one Rust file with the path `file` below `kmod/` and the content `text`.
///
/// # Errors
/// When `text` cannot be parsed.
pub fn check_rust(file: &Path, text: &str) -> Result<Vec<Fault>> {
    let tree = syn::parse_file(text).with_context(|| format!("parsing {}", file.display()))?;
    let mut seen = Seen::default();
    seen.visit_file(&tree);
    let allowed = FOLDERS.iter().any(|folder| {
        // A module is a directory or a single file: src/device/ or src/device.rs.
        file.starts_with(folder) || file == Path::new(folder).with_extension("rs")
    });
    let lines: Vec<&str> = text.lines().collect();
    let mut faults = Vec::new();
    for one in &seen.found {
        let line = one.span.start().line;
        let mut fault = |what: String| {
            faults.push(Fault {
                file: file.to_owned(),
                line,
                what,
            })
        };
        if !allowed {
            fault(format!("{} outside of {}", one.what, FOLDERS.join(", ")));
        } else if one.argues && !argued(&lines, line) {
            fault(format!("{} without a SAFETY comment", one.what));
        }
    }
    faults.sort_by_key(|fault| fault.line);
    Ok(faults)
}

struct Unsafe {
    what: &'static str,
    span: Span,
    /// True if it discharges a safety obligation and therefore needs a SAFETY comment.
    argues: bool,
}

#[derive(Default)]
struct Seen {
    found: Vec<Unsafe>,
}

impl Seen {
    fn add(&mut self, what: &'static str, span: Span, argues: bool) {
        self.found.push(Unsafe { what, span, argues });
    }

    /// Records each `unsafe` among the tokens of a macro, which `syn` does not parse. Before a brace
    /// it counts as a block.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut tokens = tokens.into_iter().peekable();
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Ident(word) if word == "unsafe" => {
                    let block = matches!(tokens.peek(), Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace);
                    self.add("unsafe in a macro", word.span(), block);
                }
                _ => {}
            }
        }
    }
}

impl<'ast> Visit<'ast> for Seen {
    fn visit_expr_unsafe(&mut self, node: &'ast syn::ExprUnsafe) {
        self.add("an unsafe block", node.unsafe_token.span(), true);
        visit::visit_expr_unsafe(self, node);
    }

    fn visit_item_impl(&mut self, node: &'ast syn::ItemImpl) {
        if let Some(token) = &node.unsafety {
            self.add("an unsafe impl", token.span(), true);
        }
        visit::visit_item_impl(self, node);
    }

    fn visit_item_trait(&mut self, node: &'ast syn::ItemTrait) {
        if let Some(token) = &node.unsafety {
            self.add("an unsafe trait", token.span(), false);
        }
        visit::visit_item_trait(self, node);
    }

    fn visit_signature(&mut self, node: &'ast syn::Signature) {
        if let Some(token) = &node.unsafety {
            self.add("an unsafe function", token.span(), false);
        }
        visit::visit_signature(self, node);
    }

    fn visit_item_foreign_mod(&mut self, node: &'ast syn::ItemForeignMod) {
        let span = node
            .unsafety
            .as_ref()
            .map_or(node.abi.span(), |token| token.span());
        self.add("a foreign block", span, false);
        visit::visit_item_foreign_mod(self, node);
    }

    fn visit_attribute(&mut self, node: &'ast syn::Attribute) {
        if let syn::Meta::List(list) = &node.meta {
            if list.path.is_ident("unsafe") {
                self.add("an unsafe attribute", node.span(), false);
            }
        }
        visit::visit_attribute(self, node);
    }

    fn visit_macro(&mut self, node: &'ast syn::Macro) {
        self.tokens(node.tokens.clone());
        visit::visit_macro(self, node);
    }
}

/// True if `line` has a SAFETY comment, or the statement or match arm that contains it has one
/// directly above it. Attributes and further comment lines may stand in between.
fn argued(lines: &[&str], line: usize) -> bool {
    let comment = |text: &str| text.trim_start().starts_with("//");
    let at = line - 1;
    if lines
        .get(at)
        .is_some_and(|text| text.contains("// SAFETY:"))
    {
        return true;
    }
    let mut inside_comment = false;
    for text in lines[..at.min(lines.len())].iter().rev() {
        let text = text.trim();
        if comment(text) {
            if text.contains("SAFETY:") {
                return true;
            }
            inside_comment = true;
        } else {
            // An attribute or the head of a match arm belongs to the line below.
            let head = text.starts_with("#[") || text.ends_with("=> {");
            let another = text.is_empty() || text.ends_with([';', '{', '}', ',']);
            if inside_comment || (another && !head) {
                return false;
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(file: &str, text: &str) -> Vec<String> {
        check_rust(Path::new(file), text)
            .unwrap()
            .iter()
            .map(|one| one.to_string())
            .collect()
    }

    #[test]
    fn safe_code_passes_anywhere() {
        let text = "// unsafe in a remark\nfn f() -> &'static str { \"unsafe { }\" }\n";
        assert!(faults("src/fs/mod.rs", text).is_empty());
    }

    #[test]
    fn each_form_is_found_outside_its_place() {
        for text in [
            "fn f() { unsafe { g() } }",
            "unsafe fn f() {}",
            "unsafe impl Send for X {}",
            "unsafe trait T {}",
            "unsafe extern \"C\" { fn f(); }",
            "extern \"C\" { fn f(); }",
            "#[unsafe(no_mangle)] fn f() {}",
            "fn f() { m!(a, unsafe { g() }) }",
        ] {
            assert_eq!(faults("src/fs/mod.rs", text).len(), 1, "{text}");
            assert_eq!(faults("erofs/src/lib.rs", text).len(), 1, "{text}");
        }
    }

    #[test]
    fn a_block_in_its_place_must_argue() {
        let bare = "fn f() {\n    unsafe { g() }\n}\n";
        assert_eq!(
            faults("src/vfs/a.rs", bare),
            ["src/vfs/a.rs:2: an unsafe block without a SAFETY comment"]
        );
        let argued = "fn f() {\n    // SAFETY: g says so,\n    // twice.\n    let x =\n        unsafe { g() };\n}\n";
        assert!(faults("src/vfs/a.rs", argued).is_empty());
        assert!(faults("src/device.rs", argued).is_empty());
        let borrowed =
            "fn f() {\n    // SAFETY: g says so.\n    unsafe { g() };\n    unsafe { h() };\n}\n";
        assert_eq!(faults("src/sys/a.rs", borrowed).len(), 1);
        let other =
            "fn f() {\n    // SAFETY: x\n\n    // Something else.\n    unsafe { h() };\n}\n";
        assert_eq!(faults("src/sys/a.rs", other).len(), 1);
    }

    #[test]
    fn a_remark_over_a_match_arm_counts() {
        let text = "fn f() {\n    match x {\n        // SAFETY: fine.\n        A => {\n            B(unsafe { g() })\n        }\n        C => unsafe { g() },\n    }\n}\n";
        assert_eq!(faults("src/vfs/a.rs", text).len(), 1);
    }

    #[test]
    fn a_safety_remark_may_stand_inside_a_macro() {
        let text =
            "fn f() {\n    m!({\n        // SAFETY: fine.\n        unsafe { g() }\n    })\n}\n";
        assert!(faults("src/vfs/a.rs", text).is_empty());
    }
}
