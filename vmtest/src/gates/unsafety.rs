// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The unsafe check: `unsafe` is a place, not a habit, and each block argues for itself.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use proc_macro2::{Delimiter, Span, TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::files_below;

/// Where it may stand, below `kmod/`.
const PLACES: &[&str] = &["src/sys", "src/vfs", "src/device"];

/// What must say under which licence it is.
const LICENSED: &[&str] = &["rs", "c", "h", "S", "toml", "md"];

/// Something that the check does not let through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file, below `kmod/`.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.what)
    }
}

/// Checks every file below `kmod`.
pub fn check(kmod: &Path) -> Result<Vec<Fault>> {
    let mut files = Vec::new();
    files_below(kmod, &mut files)?;
    files.sort();
    let mut faults = Vec::new();
    for path in files {
        let Some(end) = path.extension().and_then(|end| end.to_str()) else {
            continue;
        };
        if !LICENSED.contains(&end) {
            continue;
        }
        let file = path.strip_prefix(kmod)?.to_owned();
        let text =
            fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        if end != "md"
            && !text
                .lines()
                .take(3)
                .any(|line| line.contains("SPDX-License-Identifier:"))
        {
            faults.push(Fault {
                file: file.clone(),
                line: 1,
                what: "no SPDX-License-Identifier".to_owned(),
            });
        }
        if end == "rs" {
            faults.extend(check_rust(&file, &text)?);
        }
    }
    Ok(faults)
}

/// Checks one Rust file, called `file` below `kmod/`.
pub fn check_rust(file: &Path, text: &str) -> Result<Vec<Fault>> {
    let tree = syn::parse_file(text).with_context(|| format!("parsing {}", file.display()))?;
    let mut seen = Seen::default();
    seen.visit_file(&tree);
    let allowed = PLACES.iter().any(|place| {
        // A module is a directory or one file: src/device/ or src/device.rs.
        file.starts_with(place) || file == Path::new(place).with_extension("rs")
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
            fault(format!("{} outside of {}", one.what, PLACES.join(", ")));
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
    /// Whether it is a place that takes on a duty, and so must say how it is met.
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

    /// Macros are not parsed: an `unsafe` in their tokens counts, followed by a brace as a block.
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

/// Whether a SAFETY comment stands above `line`, or on it: over the statement that the block is a
/// part of, with only comments, attributes, the statement's own lines and a match arm in between.
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
            // Attributes and the head of a match arm belong to what stands below them.
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

    #[test]
    fn licences_are_looked_for() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.rs"), "fn f() {}\n").unwrap();
        std::fs::write(
            dir.path().join("b.c"),
            "// SPDX-License-Identifier: GPL-2.0\n",
        )
        .unwrap();
        let found = check(dir.path()).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].to_string(), "a.rs:1: no SPDX-License-Identifier");
    }
}
