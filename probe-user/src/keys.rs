//! Key files: a fleet's key as 32 hex digits.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use probe_common::siphash::Key;

/// Why a key file gives no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It cannot be read.
    #[error("cannot read the key file {}: {cause}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said; not a `source`, for the message tells it already.
        cause: io::Error,
    },
    /// It holds something else.
    #[error("{}: a key is 32 hex digits, this file holds {found}; make one with: heartprobe keygen --out FILE", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
        /// What is there instead.
        found: String,
    },
}

/// Reads a key file: 32 hex digits, white space around them allowed. Warns of one that others on this box can read.
pub fn read(path: &Path) -> Result<Key, KeyError> {
    let text = fs::read(path).map_err(|cause| KeyError::Unreadable {
        path: path.to_owned(),
        cause,
    })?;
    if fs::metadata(path).is_ok_and(|file| file.mode() & 0o077 != 0) {
        let path = path.display();
        tracing::warn!("{path}: others on this box can read the key; chmod 600 {path}");
    }
    parse(text.trim_ascii())
        .map(Key::from_bytes)
        .map_err(|found| KeyError::NoKey {
            path: path.to_owned(),
            found,
        })
}

/// The bytes that 32 hex digits spell, or what is there in their place.
fn parse(text: &[u8]) -> Result<[u8; 16], String> {
    let (pairs, rest) = text.as_chunks::<2>();
    let digits = text.iter().filter(|c| c.is_ascii_hexdigit()).count();
    let pairs: &[[u8; 2]; 16] = match pairs.try_into() {
        Ok(pairs) if rest.is_empty() && digits == text.len() => pairs,
        _ if digits == text.len() => return Err(format!("{digits}")),
        _ => {
            return Err(format!(
                "{} characters, {digits} of them hex digits",
                text.len()
            ));
        }
    };
    let digit = |c: u8| (c as char).to_digit(16).unwrap_or(0) as u8;
    Ok(pairs.map(|[upper, lower]| digit(upper) << 4 | digit(lower)))
}

/// A key as a key file holds it, with a line end.
pub fn format(key: [u8; 16]) -> String {
    format!("{:032x}\n", u128::from_be_bytes(key))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_key() {
        assert_eq!(parse(b"00ff"), Err("4".into()));
        assert_eq!(parse(&[b'0'; 33]), Err("33".into()));
        assert_eq!(
            parse(b"-----BEGIN PRIVATE KEY-----"),
            Err("27 characters, 5 of them hex digits".into())
        );
        assert_eq!(parse(b""), Err("0".into()));
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = read(Path::new("/nonexistent/key")).unwrap_err();
        let told = format!("{:#}", anyhow::Error::from(error));
        assert!(told.contains("/nonexistent/key"), "{told}");
        assert_eq!(told.matches("os error 2").count(), 1, "{told}");
    }

    proptest! {
        #[test]
        fn round_trip(key: [u8; 16]) {
            prop_assert_eq!(parse(format(key).trim().as_bytes()), Ok(key));
            prop_assert_eq!(parse(format(key).trim().to_uppercase().as_bytes()), Ok(key));
        }

        #[test]
        fn anything_else_is_refused_without_panic(text: Vec<u8>) {
            let _ = parse(&text);
        }
    }
}
