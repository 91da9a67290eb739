//! Which content coding a client is answered in (RFC 9110 §12.5.3).

use axum::http::{HeaderMap, header};

/// How a body is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// As it is.
    Identity,
    /// Compressed.
    Gzip,
}

impl Coding {
    /// Gzip if the client takes it and does not like the plain text better.
    pub fn best(headers: &HeaderMap) -> Self {
        let (mut gzip, mut any, mut identity) = (None, None, None);
        let accepted = headers.get_all(header::ACCEPT_ENCODING).iter();
        let accepted = accepted.filter_map(|value| value.to_str().ok());
        for item in accepted.flat_map(|value| value.split(',')) {
            let (coding, parameters) = item.split_once(';').unwrap_or((item, ""));
            let weight = weight(parameters);
            match coding.trim().to_ascii_lowercase().as_str() {
                "gzip" | "x-gzip" => gzip = Some(weight),
                "identity" => identity = Some(weight),
                "*" => any = Some(weight),
                _ => {}
            }
        }
        let gzip = gzip.or(any).unwrap_or(0.0);
        if gzip > 0.0 && gzip >= identity.unwrap_or(0.0) {
            Self::Gzip
        } else {
            Self::Identity
        }
    }
}

/// The `q` of a coding's parameters: 1 if there is none, 0 where it is none.
fn weight(parameters: &str) -> f32 {
    let q = parameters
        .split(';')
        .filter_map(|parameter| parameter.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
    let Some((_, q)) = q else { return 1.0 };
    q.trim().parse().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_where_it_is_wanted() {
        let table = [
            (None, Coding::Identity),
            (Some(""), Coding::Identity),
            (Some("gzip"), Coding::Gzip),
            (Some("GZIP"), Coding::Gzip),
            (Some("br, zstd"), Coding::Identity),
            (Some("deflate, gzip;q=1.0, *;q=0.5"), Coding::Gzip),
            (Some("*"), Coding::Gzip),
            (Some("*;q=0"), Coding::Identity),
            (Some("gzip;q=0, *"), Coding::Identity),
            (Some("gzip ; q = 0.000"), Coding::Identity),
            (Some("gzip;q=0.001"), Coding::Gzip),
            (Some("identity;q=1, gzip;q=0.5"), Coding::Identity),
            (Some("identity;q=0.5, gzip;q=0.5"), Coding::Gzip),
            (Some("gzip;q=much"), Coding::Identity),
            (Some("gzip;q=NaN"), Coding::Identity),
            (Some(";;=,,q=;"), Coding::Identity),
        ];
        for (accept, coding) in table {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(header::ACCEPT_ENCODING, accept.parse().unwrap());
            }
            assert_eq!(Coding::best(&headers), coding, "{accept:?}");
        }
    }

    #[test]
    fn a_header_may_come_in_parts() {
        let mut headers = HeaderMap::new();
        headers.append(header::ACCEPT_ENCODING, "br".parse().unwrap());
        headers.append(header::ACCEPT_ENCODING, "gzip".parse().unwrap());
        assert_eq!(Coding::best(&headers), Coding::Gzip);
    }
}
