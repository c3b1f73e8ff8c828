//! The cookie in which a browser has the credential of the page. The server has no session of its own: each call proves its caller again, so
//! that every replica accepts the cookie, and a key that is revoked ends it.

use axum::extract::Request;
use http::{
    HeaderMap, HeaderValue,
    header::{COOKIE, InvalidHeaderValue},
};
use zeroize::Zeroizing;

use crate::edge::host::HostKind;

/// The maximum length of a credential in bytes. Browsers drop a cookie whose name and value have more than 4096 bytes.
pub(crate) const MAX_CREDENTIAL: usize = 4_000;

/// The two kinds of the cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionCookie {
    /// For encrypted connections. By the prefix of its name, no other host and no unencrypted page can set it.
    Encrypted,
    /// For pages on a loopback address, whose bytes no network carries.
    Loopback,
}

/// What a request has of a cookie.
pub(super) enum Found {
    Nothing,
    Credential(Zeroizing<String>),
    /// More than one, of which one can be another page's.
    Several,
}

impl SessionCookie {
    /// The cookie that a browser may have for this request. `None` if a network would carry it unencrypted.
    pub(super) fn of(request: &Request, encrypted: bool) -> Option<Self> {
        if encrypted {
            Some(Self::Encrypted)
        } else {
            (HostKind::of(request) == Some(HostKind::Loopback)).then_some(Self::Loopback)
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Encrypted => "__Host-outcrop",
            Self::Loopback => "outcrop",
        }
    }

    fn attributes(self) -> &'static str {
        match self {
            Self::Encrypted => "Path=/; HttpOnly; SameSite=Strict; Secure",
            Self::Loopback => "Path=/; HttpOnly; SameSite=Strict",
        }
    }

    /// Reads it. HTTP/2 sends each cookie in a header of its own.
    pub(super) fn read(self, headers: &HeaderMap) -> Found {
        let pairs = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut values = pairs.flat_map(|pairs| pairs.split(';')).filter_map(|pair| {
            let (name, value) = pair.trim().split_once('=')?;
            (name == self.name() && !value.is_empty()).then_some(value)
        });
        match (values.next(), values.next()) {
            (None, _) => Found::Nothing,
            (Some(value), None) => Found::Credential(Zeroizing::new(value.to_owned())),
            (Some(_), Some(_)) => Found::Several,
        }
    }

    /// The header that sets it. It ends with the browser's session.
    ///
    /// # Errors
    /// If the credential has other characters than visible ASCII. None that is valid has.
    pub(crate) fn set(self, credential: &str) -> Result<HeaderValue, InvalidHeaderValue> {
        let text = Zeroizing::new(format!("{}={credential}; {}", self.name(), self.attributes()));
        let mut header = HeaderValue::from_str(&text)?;
        header.set_sensitive(true);
        Ok(header)
    }

    /// The header that removes it.
    pub(crate) fn remove(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Encrypted => "__Host-outcrop=; Path=/; HttpOnly; SameSite=Strict; Secure; Max-Age=0",
            Self::Loopback => "outcrop=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0",
        })
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn found(cookie: SessionCookie, headers: &[&str]) -> String {
        let mut all = HeaderMap::new();
        for header in headers {
            all.append(COOKIE, header.parse().unwrap());
        }
        match cookie.read(&all) {
            Found::Nothing => "nothing".to_owned(),
            Found::Credential(value) => value.to_string(),
            Found::Several => "several".to_owned(),
        }
    }

    #[test]
    fn the_cookie_of_the_other_kind_is_not_read() {
        use SessionCookie::{Encrypted, Loopback};
        for (cookie, headers, wanted) in [
            (Loopback, &["a=b; outcrop=x; c=d"][..], "x"),
            (Loopback, &["a=b", "outcrop=x"], "x"),
            (Loopback, &["__Host-outcrop=x"], "nothing"),
            (Encrypted, &["outcrop=x;__Host-outcrop=y"], "y"),
            (Encrypted, &["outcrop=x", "__host-outcrop=y"], "nothing"),
            (Encrypted, &["__Host-outcrop=x; __Host-outcrop=x"], "several"),
            (Loopback, &["outcrop=x", "outcrop=y"], "several"),
            (Loopback, &["outcrop=; outcrop", "xoutcrop=x"], "nothing"),
            (Loopback, &[], "nothing"),
        ] {
            assert_eq!(found(cookie, headers), wanted, "{cookie:?} {headers:?}");
        }
    }

    #[test]
    fn no_network_carries_the_cookie_unencrypted() {
        for (host, kind) in [
            ("127.0.0.1:50051", Some(SessionCookie::Loopback)),
            ("127.1.2.3", Some(SessionCookie::Loopback)),
            ("LOCALHOST:1", Some(SessionCookie::Loopback)),
            ("a.localhost", Some(SessionCookie::Loopback)),
            ("[::1]:50051", Some(SessionCookie::Loopback)),
            ("192.0.2.1", None),
            ("[2001:db8::1]", None),
            ("chat.example", None),
            ("localhost.example", None),
            ("127.0.0.1.example", None),
            ("", None),
        ] {
            let request = Request::builder().header("host", host).body(Body::empty()).unwrap();
            assert_eq!(SessionCookie::of(&request, false), kind, "{host}");
            assert_eq!(SessionCookie::of(&request, true), Some(SessionCookie::Encrypted), "{host}");
        }
        // Over HTTP/2 the name can stand in two places.
        let request =
            Request::builder().uri("http://chat.example/").header("host", "localhost").body(Body::empty()).unwrap();
        assert_eq!(SessionCookie::of(&request, false), None);
    }

    #[test]
    fn the_header_has_every_flag_and_does_not_show_the_credential() {
        for (cookie, secure) in [(SessionCookie::Encrypted, true), (SessionCookie::Loopback, false)] {
            let header = cookie.set("secret").unwrap();
            assert!(!format!("{header:?}").contains("secret"));
            for text in [header.to_str().unwrap(), cookie.remove().to_str().unwrap()] {
                assert!(text.starts_with(&format!("{}=", cookie.name())), "{text}");
                assert!(text.contains(cookie.attributes()), "{text}");
                assert!(text.contains("Path=/; HttpOnly; SameSite=Strict"), "{text}");
                assert_eq!(text.contains("Secure"), secure, "{text}");
                assert!(!text.contains("Domain"), "{text}");
            }
        }
        assert!(SessionCookie::Loopback.set("a\nb").is_err());
    }
}
