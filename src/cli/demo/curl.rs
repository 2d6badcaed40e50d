//! Lines to paste into a shell.

use std::borrow::Cow;
use std::time::{Duration, UNIX_EPOCH};

use super::federation::Federation;
use super::steps::{CLIENT, LOGIN_SCOPE, Tokens, USER, group_url};
use crate::cli::mcx_client::TokenAnswer;
use crate::clock::Clock;
use crate::oauth::{grant_type, token_type};

/// What can be tried while the federation serves. Every line that is no comment works as it stands.
pub(super) fn lines(federation: &Federation, tokens: &Tokens, clock: &Clock) -> String {
    let (broker, admin) = (federation.broker_url(), federation.admin_url());
    let home_token = tokens.home.access_token();
    let partner_token = tokens.partner.access_token();
    let exchange = curl(
        &format!("{broker}/token"),
        &[
            ("-d", &format!("grant_type={}", grant_type::TOKEN_EXCHANGE)),
            ("-d", &format!("client_id={CLIENT}")),
            ("-d", &format!("resource={}", federation.partner_issuer())),
            ("-d", &format!("subject_token_type={}", token_type::ACCESS_TOKEN)),
            ("-d", &format!("subject_token={}", home_token.expose())),
        ],
    );
    let bearer = format!("Authorization: Bearer {}", partner_token.expose());
    let group = curl(&group_url(federation), &[("-H", &bearer)]);
    let metadata = curl(&format!("{broker}/.well-known/oauth-authorization-server"), &[]);
    let metrics = curl(&format!("{admin}/metrics"), &[]);
    let program = std::env::current_exe().ok();
    let program = program.as_deref().map_or(Cow::Borrowed("mcx-token-broker"), |path| path.to_string_lossy());
    let login = [
        quoted(&program).as_ref(),
        "token login --auto --issuer",
        &quoted(&federation.home_issuer()),
        "--client-id",
        CLIENT,
        "--login-hint",
        USER,
        "--scope",
        &quoted(LOGIN_SCOPE),
    ]
    .join(" ");
    format!(
        "\nIt all serves until Ctrl-C. These lines work as they stand:\n\n\
         # exchange {USER}'s home token, good until {}\n{exchange}\n\n\
         # read the partner's group document with the partner token, good until {}\n{group}\n\n\
         # what the broker says of itself, and what it counts\n{metadata}\n{metrics}\n\n\
         # a new home token\n{login}\n",
        expiry(&tokens.home, clock),
        expiry(&tokens.partner, clock),
    )
}

fn curl(url: &str, options: &[(&str, &str)]) -> String {
    let mut line = format!("curl -sS {}", quoted(url));
    for (option, value) in options {
        line.extend([" ", option, " ", &quoted(value)]);
    }
    line
}

/// As one word of a POSIX shell.
fn quoted(word: &str) -> Cow<'_, str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/.:_-=%@,+".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return Cow::Borrowed(word);
    }
    Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
}

fn expiry(answer: &TokenAnswer, clock: &Clock) -> String {
    let lifetime = Duration::from_secs(answer.expires_in().unwrap_or_default());
    let seconds = u64::try_from(clock.now().plus(lifetime).unix_seconds()).unwrap_or_default();
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_stays_one_word_in_a_shell() {
        for (word, expected) in [
            ("http://127.0.0.1:8080/token", "http://127.0.0.1:8080/token"),
            ("openid x", "'openid x'"),
            ("it's", r"'it'\''s'"),
            ("$(id)", "'$(id)'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(word), expected);
        }
    }
}
