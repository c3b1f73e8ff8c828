//! A server with a caller, and requests to it as a browser sends them.

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client as Http, connect::HttpConnector},
    rt::TokioExecutor,
};
use outcrop::{
    app::{App, Reload},
    bedrock::Bedrock,
    config::Settings,
    identity::settings::IdentitySettings,
    shutdown::Ended,
};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tonic::Code;

use crate::{
    callers::{Caller, Protocol, Wire},
    harness::soon,
};

const LIST_MODELS: &str = "/outcrop.v1.GenerationService/ListModels";

/// A server, and what one of its callers has.
pub(super) struct Server {
    pub(super) ada: Caller,
    pub(super) endpoint: String,
    pub(super) host: String,
    /// The path and the query of the link that signs in once.
    pub(super) link: Option<String>,
    pub(super) reload: Reload,
    http: Http<HttpConnector, Full<Bytes>>,
    _running: JoinSet<Ended>,
}

pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(super) fn cookie(&self) -> Option<&str> {
        Some(self.headers.get("set-cookie")?.to_str().unwrap())
    }

    /// The cookie as a browser sends it back.
    pub(super) fn sent_back(&self) -> String {
        self.cookie().unwrap().split(';').next().unwrap().to_owned()
    }

    /// A refusal: its status and its reason. It sets no cookie, and does not have the credential in it.
    pub(super) fn refusal(&self, credential: &str) -> (u16, String) {
        assert!(self.cookie().is_none(), "{:?}", self.headers);
        let text = format!("{:?} {:?}", self.headers, self.body);
        assert!(credential.is_empty() || !text.contains(credential), "{text}");
        assert_eq!(self.headers["cache-control"], "no-store");
        (self.status.as_u16(), self.json()["reason"].as_str().unwrap().to_owned())
    }
}

impl Server {
    pub(super) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(super) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let ada = Caller::new("ada");
        let identity = IdentitySettings { callers: vec![ada.settings.clone()], ..IdentitySettings::default() };
        let mut settings = Settings { identity, ..Settings::local() };
        change(&mut settings);
        // No test here calls a model.
        let bedrock = Bedrock::emulated("http://127.0.0.1:9", settings.max_connect()).unwrap();
        let app = App::build(&settings, bedrock).await.unwrap();
        let (host, reload) = (app.address().to_string(), app.reload());
        let link = app.page_link().map(|link| link.strip_prefix(&format!("http://{host}")).unwrap().to_owned());
        assert!(!format!("{app:?}").contains(link.as_ref().map_or("oc_", |link| &link["/login?code=".len()..])));
        let mut server = JoinSet::new();
        server.spawn(app.run(std::future::pending(), std::future::pending()));
        let http = Http::builder(TokioExecutor::new()).build_http();
        Self { ada, endpoint: format!("http://{host}"), host, link, reload, http, _running: server }
    }

    /// Asks `/session` as the server's own page does, with these headers besides.
    pub(super) async fn ask(&self, method: Method, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        self.ask_for(method, "/session", headers, body).await
    }

    pub(super) async fn ask_for(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let mut request = http::Request::builder().method(method).uri(format!("{}{path}", self.endpoint));
        let all = request.headers_mut().unwrap();
        for (name, value) in [("sec-fetch-site", "same-origin"), ("content-type", "application/json")] {
            all.insert(name, value.parse().unwrap());
        }
        for (name, value) in headers {
            all.insert(http::HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        let answer = soon(self.http.request(request.body(Full::new(body.into())).unwrap())).await.unwrap();
        let (parts, body) = answer.into_parts();
        let body = soon(body.collect()).await.unwrap().to_bytes();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    pub(super) async fn sign_in(&self, credential: &str) -> Answer {
        self.ask(Method::POST, &[], json!({ "credential": credential }).to_string()).await
    }

    pub(super) async fn session(&self, cookie: &str) -> Value {
        let answer = self.ask(Method::GET, &[("cookie", cookie)], "").await;
        assert_eq!((answer.status, &answer.headers["cache-control"]), (StatusCode::OK, &"no-store".parse().unwrap()));
        answer.json()
    }

    /// The code and the reason of a call with these headers.
    pub(super) async fn call(&self, protocol: Protocol, headers: &[(&str, &str)]) -> (Option<Code>, String) {
        let answer = Wire::to(&self.endpoint).call(protocol, LIST_MODELS, b"", headers).await;
        (answer.code(), answer.reason().to_owned())
    }
}
