//! Calls of a service that notices when calls stay away.

use super::super::notice::{Notice, NoticeEvent};
use super::super::settings::PingSettings;
use super::{LONGEST, accepted, check_url};
use crate::runtime::CancelToken;
use crate::storage::http::send_message;

/// No service takes more, in bytes.
const TEXT_MAX: usize = 10_000;

pub(super) fn deliver(
    settings: &PingSettings,
    notice: &Notice,
    cancel: &CancelToken,
) -> Result<(), String> {
    let url = settings.url.read().map_err(|error| error.in_full())?;
    check_url(&url, settings.insecure)?;
    let url = url_for(&url, notice.event);
    let mut text = notice.message.clone();
    text.truncate(text.floor_char_boundary(TEXT_MAX));
    let headers = [("content-type", "text/plain; charset=utf-8".to_owned())];
    accepted(send_message(&url, &headers, text.into_bytes(), LONGEST, cancel)?)
}

/// What is said by the end of the path; a query stays behind it.
fn url_for(url: &str, event: NoticeEvent) -> String {
    let end = match event {
        NoticeEvent::Start => "/start",
        NoticeEvent::Failure => "/fail",
        _ => "",
    };
    match url.split_once('?') {
        Some((path, query)) => format!("{}{end}?{query}", path.trim_end_matches('/')),
        None => format!("{}{end}", url.trim_end_matches('/')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_path_says_how_it_went() {
        assert_eq!(url_for("https://a/b/", NoticeEvent::Failure), "https://a/b/fail");
        assert_eq!(url_for("https://a/b?c=d", NoticeEvent::Start), "https://a/b/start?c=d");
        assert_eq!(url_for("https://a/b", NoticeEvent::Success), "https://a/b");
    }
}
