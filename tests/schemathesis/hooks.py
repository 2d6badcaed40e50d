"""What schemathesis cannot make up: tokens that are good, and the addresses of this run. SETTINGS (a file) has
"placeholders", which stand in the documents' examples; "likely", parameters with which a made-up exchange comes further
than to the first check; and "logout_tokens", for one use each."""

import json
import os
import random

import schemathesis

with open(os.environ["SETTINGS"], encoding="utf-8") as file:
    SETTINGS = json.load(file)
RANDOM = random.Random(1)
CREDENTIALS = ("client_secret", "client_assertion", "actor_token", "actor_token_type", "resource")


def good(value):
    if value == "LOGOUT_TOKEN" and SETTINGS["logout_tokens"]:
        return SETTINGS["logout_tokens"].pop()
    return SETTINGS["placeholders"].get(value, value) if isinstance(value, str) else value


def likely():
    return RANDOM.random() < 0.8


def is_made_up_exchange(case):
    is_positive = case.meta is not None and case.meta.generation.mode.is_positive
    return is_positive and isinstance(case.body, dict) and "subject_token" in case.body


@schemathesis.hook
def before_call(context, case, kwargs):
    if is_made_up_exchange(case) and case.body["subject_token"] not in SETTINGS["placeholders"]:
        kept = {name: value for name, value in case.body.items() if name not in CREDENTIALS or not likely()}
        case.body = kept | {name: value for name, value in SETTINGS["likely"].items() if likely()}
    if isinstance(case.body, dict):
        case.body = {name: good(value) for name, value in case.body.items()}
