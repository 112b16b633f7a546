// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Records in a directory that looks like that of the kernel.

use rustix::fs::{lgetxattr, setxattr, XattrFlags};

use super::*;

fn version(identity: &str) -> Version {
    Version {
        size: 8192,
        identity: identity.to_owned(),
    }
}

fn key(cookie: &str) -> BlobKey {
    BlobKey {
        volume: b"erofs,test".to_vec(),
        cookie: cookie.into(),
    }
}

/// A cache with a file of this name, which has its size recorded.
fn cache(file: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let fan_out = dir.path().join("cache/Ierofs,test/@0f");
    fs::create_dir_all(&fan_out).unwrap();
    let path = fan_out.join(file);
    fs::write(&path, "bytes").unwrap();
    record_size(&path);
    (dir, path)
}

fn record_size(path: &Path) {
    setxattr(path, SIZE_ATTRIBUTE, b"size", XattrFlags::empty()).unwrap();
}

fn has_size(path: &Path) -> bool {
    lgetxattr(path, SIZE_ATTRIBUTE, &mut [0; 32]).is_ok()
}

#[test]
fn bytes_of_another_version_are_dropped_and_those_of_the_same_are_kept() {
    let (dir, file) = cache("Dblob");
    // A new daemon of the same cache for each OPEN.
    let open = |version: &Version| Records::new(dir.path()).admit(&key("blob"), version, || false);
    open(&version("a")).unwrap();
    assert!(!has_size(&file), "bytes without a record are dropped");
    record_size(&file);
    open(&version("a")).unwrap();
    assert!(has_size(&file), "bytes of the same version are kept");
    open(&version("b")).unwrap();
    assert!(!has_size(&file), "bytes of another version are dropped");
    record_size(&file);
    open(&version("b")).unwrap();
    assert!(has_size(&file));
}

#[test]
fn bytes_in_use_are_never_dropped() {
    let (dir, file) = cache("Dblob");
    let records = Records::new(dir.path());
    records
        .admit(&key("blob"), &version("a"), || false)
        .unwrap();
    record_size(&file);
    records.admit(&key("blob"), &version("a"), || true).unwrap();
    let error = records.admit(&key("blob"), &version("b"), || true);
    let text = error.unwrap_err().to_string();
    assert!(
        text.contains("8192 bytes, a") && text.contains("8192 bytes, b"),
        "{text}"
    );
    assert!(has_size(&file));
    // The record is still that of the bytes.
    records.admit(&key("blob"), &version("a"), || true).unwrap();
}

#[test]
fn escaped_keys_are_found() {
    let (dir, file) = cache("Pa%20b%2f%25");
    let records = Records::new(dir.path());
    let key = key("a b/%");
    records.admit(&key, &version("a"), || false).unwrap();
    assert!(!has_size(&file));
    // The C driver has other names for such keys.
    fs::remove_file(&file).unwrap();
    let error = records.admit(&key, &version("b"), || false);
    assert!(matches!(error, Err(RecordError::Unnamed { .. })));
}

#[test]
fn keys_have_records_of_their_own() {
    let (dir, _) = cache("Dother");
    let records = Records::new(dir.path());
    let long = "x".repeat(255);
    let names = [".new", "%2enew", "..", "a/b", "a%2fb", &long];
    for name in names {
        let now = version(name);
        records.admit(&key(name), &now, || false).unwrap();
    }
    for name in names {
        // A record of another key would be found to differ.
        let same = records.admit(&key(name), &version(name), || true);
        assert!(same.is_ok(), "{name}");
    }
}
