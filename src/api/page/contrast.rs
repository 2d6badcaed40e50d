//! The palette against WCAG 2.2: 4.5 to 1 for text (1.4.3), 3 to 1 for what carries meaning without being text (1.4.11).

use std::collections::HashMap;

const TEXT: f64 = 4.5;
const SIGN: f64 = 3.0;

/// What stands on what.
const PAIRS: [(&str, &str, f64); 28] = [
    ("text", "page", TEXT),
    ("text", "card", TEXT),
    ("text", "button", TEXT),
    ("text", "bad-back", TEXT),
    ("text", "warn-back", TEXT),
    ("text", "good-back", TEXT),
    ("text", "off-back", TEXT),
    ("quiet", "page", TEXT),
    ("quiet", "card", TEXT),
    ("link", "page", TEXT),
    ("link", "card", TEXT),
    ("link", "bad-back", TEXT),
    ("link", "off-back", TEXT),
    ("good", "good-back", TEXT),
    ("warn", "warn-back", TEXT),
    ("bad", "bad-back", TEXT),
    ("off", "off-back", TEXT),
    ("danger-text", "danger", TEXT),
    ("focus", "page", SIGN),
    ("focus", "card", SIGN),
    ("edge", "page", SIGN),
    ("edge", "card", SIGN),
    ("danger", "page", SIGN),
    ("cached", "card", SIGN),
    ("obtained", "card", SIGN),
    ("failed", "card", SIGN),
    ("bad", "card", SIGN),
    ("edge", "off-back", SIGN),
];

/// The colours of a `:root`, by name.
fn palette(css: &str) -> HashMap<&str, [f64; 3]> {
    let colours = css.lines().filter_map(|line| {
        let (name, value) = line.trim().strip_prefix("--")?.split_once(": #")?;
        let value = u32::from_str_radix(value.strip_suffix(';')?, 16).ok()?;
        let [_, red, green, blue] = value.to_be_bytes();
        Some((name, [red, green, blue].map(|part| f64::from(part) / 255.0)))
    });
    colours.collect()
}

/// Relative luminance, as WCAG defines it.
fn luminance(colour: [f64; 3]) -> f64 {
    let linear =
        colour.map(|part| if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) });
    0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
}

fn contrast(one: [f64; 3], other: [f64; 3]) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

#[test]
fn what_is_read_stands_out_from_what_is_behind_it_in_the_light_and_in_the_dark() {
    let (light, dark) = include_str!("style.css").split_once("@media (prefers-color-scheme: dark)").unwrap();
    let dark = dark.split_once("\n}\n").unwrap().0;
    let palettes = [("light", palette(light)), ("dark", palette(dark))];
    assert_eq!(palettes[0].1.len(), palettes[1].1.len(), "each colour has its other one");
    for (scheme, palette) in &palettes {
        for (front, back, least) in PAIRS {
            let is = contrast(palette[front], palette[back]);
            assert!(is >= least, "{scheme}: {front} on {back}: {is:.2}, {least} is demanded");
        }
        let unpaired: Vec<_> = palette
            .keys()
            .filter(|name| {
                **name != "line" && !PAIRS.iter().any(|(front, back, _)| [front, back].contains(name))
            })
            .collect();
        assert!(unpaired.is_empty(), "{scheme}: {unpaired:?}");
    }
}

#[test]
fn black_on_white_is_21_to_1_and_a_colour_on_itself_1() {
    assert!((contrast([0.0; 3], [1.0; 3]) - 21.0).abs() < 1e-9);
    assert!((contrast([0.4; 3], [0.4; 3]) - 1.0).abs() < 1e-9);
}
