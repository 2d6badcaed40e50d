//! Debian's chromium, driven through its DevTools protocol over a pipe: JSON messages that end with a zero byte.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{PATIENCE, stopwatch};

/// The browser reads from its third file and writes to its fourth; what it says besides goes to a file. The addresses that
/// it would call by itself are not there.
const START: &str = r#"exec 3<&0 4>&1; exec chromium --headless --no-sandbox --remote-debugging-pipe \
    --user-data-dir="$1" --no-first-run --disable-gpu --disable-dev-shm-usage --disable-background-networking \
    --disable-component-update --disable-sync --no-proxy-server --hide-scrollbars --force-device-scale-factor=1 \
    --host-resolver-rules="MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost" about:blank \
    </dev/null >/dev/null 2>"$1/said""#;

/// A browser with one page. It ends when it is dropped.
pub(crate) struct Browser {
    child: Child,
    input: RefCell<ChildStdin>,
    messages: Receiver<Value>,
    /// What happened and was not asked for yet.
    events: RefCell<VecDeque<Value>>,
    calls: Cell<u64>,
    session: String,
    /// What it keeps.
    directory: tempfile::TempDir,
}

impl Browser {
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory for the browser");
        let mut child = Command::new("sh")
            .args(["-c", START, "sh"])
            .arg(directory.path())
            .env("HOME", directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        let output = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let (sender, messages) = mpsc::channel();
        thread::spawn(move || {
            let texts = output.split(0).map_while(Result::ok);
            for message in texts.filter_map(|text| serde_json::from_slice(&text).ok()) {
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let input = RefCell::new(child.stdin.take().expect("stdin is piped"));
        let (events, calls, session) = (RefCell::default(), Cell::new(0), String::new());
        let mut browser = Self { child, input, messages, events, calls, session, directory };
        let target =
            browser.call("Target.createTarget", &json!({ "url": "about:blank" }))["targetId"].clone();
        let attached = browser.call("Target.attachToTarget", &json!({ "targetId": target, "flatten": true }));
        attached["sessionId"].as_str().expect("a session").clone_into(&mut browser.session);
        for domain in ["Page.enable", "Runtime.enable", "Network.enable", "Log.enable"] {
            browser.call(domain, &json!({}));
        }
        browser
    }

    /// Calls a method of the protocol and waits for what comes of it.
    pub(crate) fn call(&self, method: &str, parameters: &Value) -> Value {
        let id = self.calls.get() + 1;
        self.calls.set(id);
        let mut message = json!({ "id": id, "method": method, "params": parameters });
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        let written = self.input.borrow_mut().write_all(&bytes);
        written.unwrap_or_else(|error| panic!("{method}: {error}: {}", self.said()));
        loop {
            let mut message = self.message(method);
            if message["id"] == json!(id) {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].take();
            }
            self.events.borrow_mut().push_back(message);
        }
    }

    fn message(&self, what: &str) -> Value {
        let message = self.messages.recv_timeout(PATIENCE);
        message.unwrap_or_else(|error| panic!("{what}: {error}: {}", self.said()))
    }

    /// What it complained of, and the way to install it when it is not there.
    fn said(&self) -> String {
        let said = std::fs::read_to_string(self.directory.path().join("said")).unwrap_or_default();
        format!(
            "chromium does not answer (if it is missing, run .ci/test, which installs it). It said:\n{said}"
        )
    }

    /// Waits for the next event of this name.
    fn wait_for(&self, name: &str) -> Value {
        loop {
            let known = self.events.borrow_mut().pop_front();
            let event = known.unwrap_or_else(|| self.message(name));
            if event["method"] == json!(name) {
                return event["params"].clone();
            }
        }
    }

    /// Does what leads to another page, and waits until that is there.
    pub(crate) fn load(&self, cause: impl FnOnce()) {
        self.events.borrow_mut().clear();
        cause();
        self.wait_for("Page.loadEventFired");
    }

    pub(crate) fn open(&self, url: &str) {
        self.load(|| {
            let opened = self.call("Page.navigate", &json!({ "url": url }));
            assert!(opened["errorText"].is_null(), "{url}: {opened}");
        });
    }

    /// The value of an expression in the page.
    pub(crate) fn evaluate(&self, expression: &str) -> Value {
        let parameters = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let mut evaluated = self.call("Runtime.evaluate", &parameters);
        assert!(evaluated["exceptionDetails"].is_null(), "{expression}: {}", evaluated["exceptionDetails"]);
        evaluated["result"]["value"].take()
    }

    /// The same, of an expression that is a text.
    pub(crate) fn text(&self, expression: &str) -> String {
        let value = self.evaluate(expression);
        value.as_str().unwrap_or_else(|| panic!("{expression}: {value}")).to_owned()
    }

    /// What a reader of the page sees.
    pub(crate) fn seen(&self) -> String {
        self.text("document.body.innerText")
    }

    /// Waits until an expression holds.
    pub(crate) fn until(&self, expression: &str) {
        let took = stopwatch();
        while self.evaluate(expression) != json!(true) {
            assert!(took() < PATIENCE, "never: {expression}\n{}", self.seen());
        }
    }

    /// Clicks with the mouse, where the element is.
    pub(crate) fn click(&self, selector: &str) {
        let place = self.evaluate(&format!(
            "(() => {{ const it = document.querySelector({}); it.scrollIntoView({{block: 'center'}}); \
             const r = it.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; }})()",
            json!(selector)
        ));
        for kind in ["mousePressed", "mouseReleased"] {
            let event =
                json!({ "type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", &event);
        }
    }

    /// Presses a key: `Tab`, `Enter`.
    pub(crate) fn press(&self, key: &str) {
        let (code, text) = match key {
            "Tab" => (9, ""),
            "Enter" => (13, "\r"),
            _ => panic!("which key is {key}?"),
        };
        for kind in ["keyDown", "keyUp"] {
            let mut event = json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code });
            if kind == "keyDown" && !text.is_empty() {
                event["text"] = json!(text);
            }
            self.call("Input.dispatchKeyEvent", &event);
        }
    }

    /// Types into what has the focus.
    pub(crate) fn type_text(&self, text: &str) {
        self.call("Input.insertText", &json!({ "text": text }));
    }

    /// A window of this size, in CSS pixels.
    pub(crate) fn resize(&self, width: u32, height: u32) {
        let metrics =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.call("Emulation.setDeviceMetricsOverride", &metrics);
    }

    /// `light` or `dark`.
    pub(crate) fn prefer(&self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", &json!({ "features": features }));
    }

    /// Pages that are opened from now on run no script.
    pub(crate) fn without_javascript(&self) {
        self.call("Emulation.setScriptExecutionDisabled", &json!({ "value": true }));
    }

    /// Sends a header with every request, as a browser does with what was typed into its dialog.
    pub(crate) fn send_always(&self, name: &str, value: &str) {
        self.call("Network.setExtraHTTPHeaders", &json!({ "headers": { name: value } }));
    }

    /// What the browser complained of since the last page was opened: what a policy forbids, what is not there.
    pub(crate) fn complaints(&self) -> Vec<String> {
        // What it has to say is said before it answers.
        self.evaluate("0");
        let events = self.events.borrow();
        let complaints = events.iter().filter_map(|event| match event["method"].as_str()? {
            "Log.entryAdded" => Some(event["params"]["entry"]["text"].to_string()),
            "Runtime.exceptionThrown" => Some(event["params"]["exceptionDetails"].to_string()),
            _ => None,
        });
        complaints.filter(|text| !text.contains("favicon")).collect()
    }

    /// The page as a PNG, down to the end of the element.
    pub(crate) fn picture(&self, last: &str) -> Vec<u8> {
        let size = format!(
            "[innerWidth, Math.ceil(document.querySelector({}).getBoundingClientRect().bottom + scrollY)]",
            json!(last)
        );
        let size = self.evaluate(&size);
        let clip = json!({ "x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1 });
        let parameters = json!({ "format": "png", "captureBeyondViewport": true, "clip": clip });
        let picture = self.call("Page.captureScreenshot", &parameters);
        STANDARD.decode(picture["data"].as_str().expect("a picture")).expect("base64")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Both fail only for a browser that is gone already. Its other processes end with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
