//! Mail, by SMTP.

use std::error::Error as StdError;

use lettre::address::Envelope;
use lettre::message::{Mailbox, Message, header};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{SmtpTransport, Transport};

use super::super::notice::Notice;
use super::super::settings::{ChannelSettings, EmailSecurity, EmailSettings};
use super::super::template;
use super::LONGEST;
use crate::fsmeta::host_name;

pub(super) fn deliver(
    settings: &EmailSettings,
    channel: &ChannelSettings,
    notice: &Notice,
) -> Result<(), String> {
    let message = message(settings, channel, notice)?;
    let transport = transport(settings)?;
    let sent = transport.send_raw(message.envelope(), &message.formatted());
    sent.map(|_| ()).map_err(|error| full(&error))
}

fn message(
    settings: &EmailSettings,
    channel: &ChannelSettings,
    notice: &Notice,
) -> Result<Message, String> {
    let mailbox =
        |text: &str| text.parse::<Mailbox>().map_err(|_| format!("`{text}` is no address"));
    let from = mailbox(&settings.from)?;
    let domain = from.email.domain().to_owned();
    let mut message = Message::builder()
        .from(from.clone())
        .subject(template::subject(channel.subject.as_deref(), notice))
        // The same at each attempt, so that one that arrived twice is seen to be the same.
        .message_id(Some(format!("<{}.larder@{domain}>", notice.id)))
        .date(notice.time.into())
        .header(AutoSubmitted);
    let mut to = Vec::new();
    for text in &settings.to {
        let one = mailbox(text)?;
        to.push(one.email.clone());
        message = message.to(one);
    }
    let envelope = Envelope::new(Some(from.email), to).map_err(|error| full(&error))?;
    message
        .envelope(envelope)
        .header(header::ContentType::TEXT_PLAIN)
        .body(template::body(channel.body.as_deref(), notice))
        .map_err(|error| full(&error))
}

/// Says that no person wrote it, so that no machine answers.
#[derive(Clone)]
struct AutoSubmitted;

impl header::Header for AutoSubmitted {
    fn name() -> header::HeaderName {
        header::HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn StdError + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> header::HeaderValue {
        header::HeaderValue::new(Self::name(), "auto-generated".into())
    }
}

fn transport(settings: &EmailSettings) -> Result<SmtpTransport, String> {
    let usual_port = match settings.security {
        EmailSecurity::Starttls => 587,
        EmailSecurity::Tls => 465,
        EmailSecurity::None => 25,
    };
    let tls = match settings.security {
        EmailSecurity::Starttls => Tls::Required(tls(settings)?),
        EmailSecurity::Tls => Tls::Wrapper(tls(settings)?),
        EmailSecurity::None => Tls::None,
    };
    let mut builder = SmtpTransport::builder_dangerous(&settings.server)
        .port(settings.port.unwrap_or(usual_port))
        .tls(tls)
        .hello_name(ClientId::Domain(host_name()))
        .timeout(Some(LONGEST));
    if let Some(user) = &settings.user {
        let password = match &settings.password {
            Some(password) => password.read().map_err(|error| error.in_full())?,
            None => return Err("it names a user and no password".into()),
        };
        builder = builder.credentials(Credentials::new(user.clone(), password.to_string()));
    }
    Ok(builder.build())
}

fn tls(settings: &EmailSettings) -> Result<TlsParameters, String> {
    let mut builder = TlsParameters::builder(settings.server.clone());
    if let Some(path) = &settings.ca_file {
        let unreadable = |what: String| format!("`{}` cannot be used: {what}", path.display());
        let pem = std::fs::read(path).map_err(|error| unreadable(error.to_string()))?;
        let trusted = Certificate::from_pem(&pem).map_err(|error| unreadable(full(&error)))?;
        builder = builder.add_root_certificate(trusted);
    }
    builder.build_rustls().map_err(|error| full(&error))
}

/// An error with its reasons. What was sent, passwords above all, is in none of them.
fn full(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(reason) = next {
        let reason_text = reason.to_string();
        if !text.contains(&reason_text) {
            text.push_str(": ");
            text.push_str(&reason_text);
        }
        next = reason.source();
    }
    text
}
