//! `outcrop check`: checks the settings as `serve` does, and then what would fail while it runs. It binds nothing and changes nothing.
//!
//! - `models` whether the models are in their regions
//! - `quotas` whether the codes of quotas can be read

mod models;
mod quotas;

use std::{
    error::Error,
    io::{Write, stderr, stdout},
    process::ExitCode,
    time::SystemTime,
};

use super::summary;
use crate::{
    bedrock::UpstreamSettings,
    config::{Checked, Inputs, Layers, ServeArgs, Settings, TlsSettings, quota_warnings},
    conversation::settings::check as check_storage,
    edge::tls::{self, EXPIRES_SOON, written},
    telemetry::otlp,
};

/// Checks everything.
///
/// # Errors
/// If the settings have problems, or the output is closed.
pub async fn run(args: ServeArgs, inputs: &Inputs, layers: &Layers) -> Result<ExitCode, Box<dyn Error>> {
    let Checked { settings, upstream } = Box::pin(Checked::load(args, layers)).await?;
    for warning in inputs.warnings().into_iter().chain(quota_warnings(&settings)) {
        writeln!(stderr(), "outcrop: {warning}")?;
    }
    let mut problems: Vec<_> = check_storage(&settings.conversations).await.err().into_iter().collect();
    if let Some(otlp) = &settings.otlp {
        problems.extend(otlp::check(otlp).await.err());
    }
    let valid_until = settings.tls.as_ref().map(check_tls).transpose();
    let valid_until = valid_until.map_err(|problem| problems.push(problem)).ok().flatten();
    if let Some(account) = upstream.account() {
        let models::Found { problems: missing, warnings } = Box::pin(models::check(&settings, &account)).await;
        problems.extend(missing);
        let unread = match upstream.service_quotas() {
            Some(service) => Box::pin(quotas::check(&settings.quotas, &service, upstream.home())).await,
            None => Vec::new(),
        };
        for warning in warnings.into_iter().chain(unread) {
            writeln!(stderr(), "outcrop: {warning}")?;
        }
    }
    if problems.is_empty() {
        write!(stdout(), "ok\n{}{}", described(&settings), valid_until.unwrap_or_default())?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(stderr(), "outcrop: the settings are valid, and the server would fail while it runs:")?;
    for problem in problems {
        writeln!(stderr(), "  - {problem}")?;
    }
    Ok(ExitCode::FAILURE)
}

/// The line of the summary about the certificate, or what is wrong with it.
fn check_tls(settings: &TlsSettings) -> Result<String, String> {
    let until = tls::check(settings).map_err(|problems| problems.join("; "))?;
    if until <= SystemTime::now() + EXPIRES_SOON {
        return Err(format!("the certificate of --tls-cert expires soon, at {}. Renew it", written(until)));
    }
    Ok(format!("the certificate is valid until {}\n", written(until)))
}

/// What the settings come to, a line for each part.
fn described(settings: &Settings) -> String {
    let upstream = match &settings.upstream {
        UpstreamSettings::Aws { region: Some(region) } => format!("AWS, {region}"),
        UpstreamSettings::Aws { region: None } => "AWS, the region of its standard chain".to_owned(),
        UpstreamSettings::Local { .. } => "the emulator in the process".to_owned(),
    };
    let (storage, callers) = (summary::storage(settings), summary::callers(settings));
    let telemetry = settings.otlp.as_ref().map_or("not sent", |otlp| otlp.endpoint.as_str());
    let routes = settings.rules.routes.names().count();
    format!(
        "listens on: {}\nanswers from: {upstream}\nroutes: {routes}\ncallers: {callers}\nconversations: {storage}\ntraces and metrics: {telemetry}\n",
        settings.listen
    )
}
