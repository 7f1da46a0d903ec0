//! Subject and text of a message.

use minijinja::{Environment, UndefinedBehavior};

use super::notice::Notice;

/// The subject, if a channel has none of its own.
const SUBJECT: &str = "\
[larder] {% if repository %}{{ repository }}: {% endif %}{{ title }}";

/// The text, if a channel has none of its own.
const BODY: &str = "\
{{ message }}
{% if advice %}
What to do: {{ advice }}
{% endif %}{% if held_back %}
{% for one in held_back %}{{ one.time }}  {% if one.repository %}{{ one.repository }}: {% endif %}\
{{ one.title }}: {{ one.message }}
{% endfor %}{% endif %}
Machine:    {{ host }}
{% if repository %}Repository: {{ repository }}
{% endif %}{% if alert_id %}Alert:      {{ alert_id }}
{% endif %}Time:       {{ time }}
{% if job.backup_id %}Backup:     {{ job.backup_id }}
{% endif %}";

/// What a template may do at most: none goes on without end.
const FUEL: u64 = 100_000;

/// No subject is longer, in letters.
const SUBJECT_LEN_MAX: usize = 200;

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    environment
}

/// Whether a template can be read.
///
/// # Errors
/// What is wrong with it, in words.
pub(super) fn check(template: &str) -> Result<(), String> {
    let environment = environment();
    let read = environment.template_from_str(template);
    read.map(|_| ()).map_err(|error| format!("its template cannot be read: {error}"))
}

/// The subject: one line.
pub(super) fn subject(template: Option<&str>, notice: &Notice) -> String {
    let text = render(template, SUBJECT, notice);
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().filter(|letter| !letter.is_control()).take(SUBJECT_LEN_MAX).collect()
}

/// The text.
pub(super) fn body(template: Option<&str>, notice: &Notice) -> String {
    render(template, BODY, notice)
}

/// A template that fails is no reason to lose a message: the usual one takes its place.
fn render(template: Option<&str>, usual: &str, notice: &Notice) -> String {
    let mut environment = environment();
    environment.set_fuel(Some(FUEL));
    let variables = minijinja::Value::from(minijinja::value::Serde(notice));
    let render = |template: &str| environment.render_str(template, variables.clone());
    let own = template.map(render);
    match own {
        Some(Ok(text)) => text,
        Some(Err(error)) => {
            tracing::warn!("a template of a message fails: {error}");
            render(usual).unwrap_or_else(|_| notice.message.clone())
        }
        None => render(usual).unwrap_or_else(|_| notice.message.clone()),
    }
}
