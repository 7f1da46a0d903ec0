//! Channels, as people write them in a profile.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::notice::NoticeEvent;
use super::template;
use crate::error::{Error, Result};
use crate::manager::secret::SecretText;

/// Messages of one kind that a channel sends in an hour, if nothing else is said.
const PER_HOUR: u32 = 10;

/// How long a command may take, if nothing else is said, seconds.
const COMMAND_SECONDS: u64 = 60;

/// Who is told of what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct NotifySettings {
    /// The ways out.
    pub channels: Vec<ChannelSettings>,
}

/// A way out: one of web hook, mail, command and ping, and what goes there.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ChannelSettings {
    /// What it is called. Messages that wait for it are found by this name after a restart.
    pub name: String,
    /// What is told; failures, recoveries and alerts if nothing is said. A ping is always of start,
    /// success and failure.
    #[serde(default)]
    pub on: Option<Vec<NoticeEvent>>,
    /// Only what is about these repositories; all if there is none.
    #[serde(default)]
    pub repositories: Vec<String>,
    /// Only jobs of these schedules, by id or name; all if there is none.
    #[serde(default)]
    pub schedules: Vec<String>,
    /// Only jobs of these kinds; all if there is none.
    #[serde(default)]
    pub jobs: Vec<String>,
    /// So many failures in a row before the first is told.
    #[serde(default = "one")]
    pub after_failures: u32,
    /// Messages of one kind in an hour at most; what is more comes in one message later. 0 is no
    /// limit. Pings have none.
    #[serde(default = "per_hour")]
    pub at_most_per_hour: u32,
    /// The template of the subject.
    #[serde(default)]
    pub subject: Option<String>,
    /// The template of the text.
    #[serde(default)]
    pub body: Option<String>,
    /// Sends JSON to a URL.
    #[serde(default)]
    pub webhook: Option<WebhookSettings>,
    /// Sends mail.
    #[serde(default)]
    pub email: Option<EmailSettings>,
    /// Runs a program.
    #[serde(default)]
    pub command: Option<CommandSettings>,
    /// Calls the URLs of a service that notices when calls stay away.
    #[serde(default)]
    pub ping: Option<PingSettings>,
}

/// A web hook.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WebhookSettings {
    /// Where to: `https://...`, or `http://` on this machine. Often a secret itself.
    pub url: SecretText,
    /// The key of the signature.
    #[serde(default)]
    pub secret: Option<SecretText>,
    /// Also `http://` to other machines.
    #[serde(default)]
    pub insecure: bool,
}

/// Mail.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct EmailSettings {
    /// The server that takes it.
    pub server: String,
    /// Its port; that of `security` if nothing is said.
    #[serde(default)]
    pub port: Option<u16>,
    /// How the way there is protected.
    #[serde(default)]
    pub security: EmailSecurity,
    /// Who logs in.
    #[serde(default)]
    pub user: Option<String>,
    /// With what.
    #[serde(default)]
    pub password: Option<SecretText>,
    /// Of whom it is.
    pub from: String,
    /// For whom it is.
    pub to: Vec<String>,
    /// A file of certificates (PEM) that are trusted beside those of the system.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

/// How the way to a mail server is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EmailSecurity {
    /// TLS after a greeting, and nothing without it: port 587.
    #[default]
    Starttls,
    /// TLS from the start: port 465.
    Tls,
    /// None: port 25, and only on this machine.
    None,
}

/// A program that gets the message as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CommandSettings {
    /// The program and its arguments. No shell reads them.
    pub run: Vec<String>,
    /// How long it may take, seconds.
    #[serde(default = "command_seconds")]
    pub timeout_seconds: u64,
}

/// The URLs of a service that watches.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PingSettings {
    /// Called when a job succeeded; with `/start` and `/fail` behind it when one begins or fails.
    pub url: SecretText,
    /// Also `http://` to other machines.
    #[serde(default)]
    pub insecure: bool,
}

/// Which way out a channel is.
#[derive(Clone, Copy, Debug)]
pub enum ChannelKind<'s> {
    /// JSON to a URL.
    Webhook(&'s WebhookSettings),
    /// Mail.
    Email(&'s EmailSettings),
    /// A program.
    Command(&'s CommandSettings),
    /// A service that watches.
    Ping(&'s PingSettings),
}

/// A channel as it is shown: without a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
pub struct ChannelView {
    /// What it is called.
    pub name: String,
    /// `webhook`, `email`, `command` or `ping`.
    pub kind: String,
    /// Where it leads, as far as that is no secret.
    pub target: String,
    /// What is told.
    pub on: Vec<NoticeEvent>,
    /// Messages that wait for it.
    pub waiting: u64,
    /// Why the last one did not get through.
    pub error: Option<String>,
}

fn one() -> u32 {
    1
}

fn per_hour() -> u32 {
    PER_HOUR
}

fn command_seconds() -> u64 {
    COMMAND_SECONDS
}

impl NotifySettings {
    /// Whether all channels make sense, as far as that can be told without using them.
    ///
    /// # Errors
    /// [`Error::Usage`], naming the channel.
    pub fn check(&self) -> Result<()> {
        for (at, channel) in self.channels.iter().enumerate() {
            channel.check()?;
            if self.channels[..at].iter().any(|other| other.name == channel.name) {
                return Err(channel.wrong("another channel has its name", "give it another one"));
            }
        }
        Ok(())
    }

    /// The channel of this name.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn channel(&self, name: &str) -> Result<&ChannelSettings> {
        let missing = || Error::NotFound { what: "channel", name: name.to_owned() };
        self.channels.iter().find(|channel| channel.name == name).ok_or_else(missing)
    }
}

impl ChannelSettings {
    /// Which way out it is.
    ///
    /// # Errors
    /// [`Error::Usage`] if it says none, or several.
    pub fn kind(&self) -> Result<ChannelKind<'_>> {
        let mut kinds = [
            self.webhook.as_ref().map(ChannelKind::Webhook),
            self.email.as_ref().map(ChannelKind::Email),
            self.command.as_ref().map(ChannelKind::Command),
            self.ping.as_ref().map(ChannelKind::Ping),
        ]
        .into_iter()
        .flatten();
        match (kinds.next(), kinds.next()) {
            (Some(kind), None) => Ok(kind),
            _ => Err(self.wrong(
                "it is not one way out",
                "give it one of the tables `webhook`, `email`, `command` and `ping`",
            )),
        }
    }

    /// What it tells of.
    pub fn events(&self) -> Vec<NoticeEvent> {
        use NoticeEvent::{Failure, Start, Success};
        match (&self.ping, &self.on) {
            // A failure that is over shows as success there.
            (Some(_), _) => vec![Start, Success, Failure],
            (None, Some(on)) => on.clone(),
            (None, None) => NoticeEvent::USUAL.to_vec(),
        }
    }

    /// The secrets of it, for whoever knows which folder their files are in.
    pub fn secrets_mut(&mut self) -> impl Iterator<Item = &mut SecretText> {
        let webhook = self.webhook.as_mut().map(|hook| [Some(&mut hook.url), hook.secret.as_mut()]);
        let email = self.email.as_mut().map(|email| [email.password.as_mut(), None]);
        let ping = self.ping.as_mut().map(|ping| [Some(&mut ping.url), None]);
        [webhook, email, ping].into_iter().flatten().flatten().flatten()
    }

    /// Whether a secret itself stands in it, not where it is.
    pub fn holds_secret(&self) -> bool {
        self.clone().secrets_mut().any(|secret| secret.is_text())
    }

    pub(super) fn is_ping(&self) -> bool {
        self.ping.is_some()
    }

    pub(super) fn wrong(&self, what: &str, hint: &str) -> Error {
        Error::usage_hint(format!("channel `{}`: {what}", self.name), hint)
    }

    fn check(&self) -> Result<()> {
        if self.name.is_empty() {
            return Err(Error::usage_hint("a channel has no name", "say `name = \"...\"`"));
        }
        for template in [&self.subject, &self.body].into_iter().flatten() {
            template::check(template).map_err(|why| {
                self.wrong(&why, "templates look like `{{ repository }}: {{ message }}`")
            })?;
        }
        match self.kind()? {
            ChannelKind::Email(email) => self.check_email(email),
            ChannelKind::Command(command) if command.run.is_empty() => {
                Err(self.wrong("it names no program", "say `run = [\"program\", \"argument\"]`"))
            }
            ChannelKind::Command(_) | ChannelKind::Webhook(_) | ChannelKind::Ping(_) => Ok(()),
        }
    }

    fn check_email(&self, email: &EmailSettings) -> Result<()> {
        if email.to.is_empty() {
            return Err(self.wrong("it is for nobody", "say `to = [\"somebody@example.com\"]`"));
        }
        for address in email.to.iter().chain([&email.from]) {
            if address.parse::<lettre::message::Mailbox>().is_err() {
                let what = format!("`{address}` is no address");
                return Err(self.wrong(&what, "addresses look like `somebody@example.com`"));
            }
        }
        if email.security == EmailSecurity::None && !is_this_machine(&email.server) {
            let hint = "use `security = \"starttls\"` or `\"tls\"`";
            return Err(self.wrong("mail to another machine needs TLS", hint));
        }
        Ok(())
    }

    /// As it is shown.
    pub fn view(&self) -> ChannelView {
        let (kind, target) = match self.kind() {
            Ok(ChannelKind::Webhook(webhook)) => ("webhook", host_of(&webhook.url)),
            Ok(ChannelKind::Email(email)) => ("email", email.to.join(", ")),
            Ok(ChannelKind::Command(command)) => {
                ("command", command.run.first().cloned().unwrap_or_default())
            }
            Ok(ChannelKind::Ping(ping)) => ("ping", host_of(&ping.url)),
            Err(_) => ("", String::new()),
        };
        ChannelView {
            name: self.name.clone(),
            kind: kind.into(),
            target,
            on: self.events(),
            waiting: 0,
            error: None,
        }
    }
}

/// Whether a name is one of this machine alone.
pub(super) fn is_this_machine(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    is_loopback || bare.eq_ignore_ascii_case("localhost")
}

/// Where a URL leads, without what may be secret in it.
fn host_of(url: &SecretText) -> String {
    let text = match url {
        SecretText::Text(text) => text,
        other => return other.to_string(),
    };
    match text.parse::<http::Uri>() {
        Ok(uri) => match (uri.scheme_str(), uri.host()) {
            (Some(scheme), Some(host)) => format!("{scheme}://{host}/..."),
            _ => "a URL".into(),
        },
        Err(_) => "a URL".into(),
    }
}
