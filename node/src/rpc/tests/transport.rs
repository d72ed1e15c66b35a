//! Unknown methods, malformed requests, batches, sizes, hosts, connections, and stopping.

use std::time::Duration;

use futures::{StreamExt as _, stream::FuturesUnordered};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{
    node::{TestNode, account, tx},
    websocket::EVENTUALLY,
};

fn request(id: u64, method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

fn error_of(text: &str) -> (i64, String) {
    let answer: Value = serde_json::from_str(text).unwrap();
    (answer["error"]["code"].as_i64().unwrap(), answer["error"]["message"].as_str().unwrap().to_owned())
}

/// Client libraries ask for methods that they can do without, and fall back on exactly this code or text.
#[tokio::test]
async fn an_unknown_method_is_32601_in_geths_words() {
    let node = TestNode::start().await;
    for method in ["eth_sendTransaction", "eth_sign", "trace_block", "admin_peers", "ETH_CHAINID", ""] {
        let expected = (-32_601, format!("the method {method} does not exist/is not available"));
        assert_eq!(node.refused(method, json!([])).await, expected);
    }
    let batch = json!([request(1, "eth_nope", &json!([])), request(2, "eth_chainId", &json!([]))]);
    let answers: Value = serde_json::from_str(&node.post(batch.to_string()).await.1).unwrap();
    assert_eq!((&answers[0]["error"]["code"], &answers[1]["result"]), (&json!(-32_601), &json!("0x1770")));
}

/// Far more than a parser's stack holds.
const DEEP: usize = 10_000;

#[tokio::test]
async fn malformed_requests_are_told_apart() {
    let node = TestNode::start().await;
    assert_eq!(error_of(&node.post("{\"jsonrpc\":").await.1).0, -32_700);
    assert_eq!(error_of(&node.post("{\"jsonrpc\":\"2.0\",\"id\":1}").await.1).0, -32_600);
    assert_eq!(error_of(&node.post("[]").await.1).0, -32_600);
    let mixed = json!([1, request(2, "net_version", &json!([]))]);
    let answers: Value = serde_json::from_str(&node.post(mixed.to_string()).await.1).unwrap();
    assert_eq!((&answers[0]["error"]["code"], &answers[1]["result"]), (&json!(-32_600), &json!("6000")));
    // Nesting takes no stack: as a batch, and within the parameters of a call.
    let deep = format!("{}{}", "[".repeat(DEEP), "]".repeat(DEEP));
    let answers: Value = serde_json::from_str(&node.post(deep.clone()).await.1).unwrap();
    assert_eq!((answers.as_array().unwrap().len(), &answers[0]["error"]["code"]), (1, &json!(-32_600)));
    for method in ["eth_chainId", "eth_getBlockByNumber"] {
        let call = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{deep}}}"#);
        assert_eq!(error_of(&node.post(call).await.1).0, -32_602, "{method}");
    }
    // A notification is heard and not answered, alone or in a batch.
    let notification = json!({"jsonrpc": "2.0", "method": "eth_chainId", "params": []});
    assert_eq!(node.post(notification.to_string()).await, (200, String::new()));
    assert_eq!(node.post(json!([notification]).to_string()).await, (200, String::new()));
    assert_eq!(node.call("eth_chainId", json!([])).await, "0x1770");
}

#[tokio::test]
async fn a_batch_keeps_its_order_and_its_limit() {
    let node = TestNode::start().await;
    let batch = |count: u64| {
        let calls = (0..count).map(|id| request(id, "eth_blockNumber", &json!([])));
        Value::Array(calls.collect()).to_string()
    };
    let (code, text) = node.post(batch(1_000)).await;
    let answers: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert_eq!((code, answers.len()), (200, 1_000));
    assert!(answers.iter().zip(0_u64..).all(|(answer, id)| answer["id"] == id && answer["result"] == "0x0"));
    let (code, text) = node.post(batch(1_001)).await;
    assert_eq!((code, error_of(&text)), (200, (-32_600, "batch too large".to_owned())));
}

#[tokio::test]
async fn too_much_to_read_is_refused_and_the_node_goes_on() {
    let node = TestNode::with(|config| config.body_bytes_max = 1_000).await;
    let long = request(1, "eth_chainId", &json!(["x".repeat(2_000)])).to_string();
    assert_eq!(node.post(long).await.0, 413);
    assert_eq!(node.call("eth_chainId", json!([])).await, "0x1770");
}

#[tokio::test]
async fn too_much_to_answer_is_refused_alone_and_in_a_batch() {
    let node = TestNode::with(|config| config.answer_bytes_max = 4_000).await;
    node.finalize((0..20).map(|nonce| tx(1, nonce, 1)).collect());
    let expected = (-32_003, "response too large".to_owned());
    assert_eq!(node.refused("eth_getBlockByNumber", json!(["latest", true])).await, expected);

    // Each of these fits; the second does not fit beside the first, and nothing after it is even tried.
    let one = node.call("eth_getBlockByNumber", json!(["latest", false])).await.to_string().len();
    assert!((2_000..4_000).contains(&one), "{one}");
    let calls = (1..=3).map(|id| request(id, "eth_getBlockByNumber", &json!(["latest", false])));
    let batch = Value::Array(calls.chain([request(4, "eth_chainId", &json!([]))]).collect());
    let answers: Value = serde_json::from_str(&node.post(batch.to_string()).await.1).unwrap();
    assert_eq!(answers[0]["result"]["number"], "0x1");
    for index in 1..4 {
        assert_eq!(answers[index]["error"]["code"], -32_003, "{index}");
        assert_eq!(answers[index]["id"], index + 1);
    }
}

#[tokio::test]
async fn only_posted_json_from_an_allowed_host_is_served() {
    let node = TestNode::start().await;
    let body = request(1, "eth_chainId", &json!([])).to_string();
    let client = reqwest::Client::new();
    let post = |host: &'static str, kind: &'static str| {
        client.post(node.url()).header("host", host).header("content-type", kind).body(body.clone()).send()
    };
    assert_eq!(post("localhost", "application/json").await.unwrap().status(), 200);
    assert_eq!(post("127.0.0.1:1", "application/json; charset=utf-8").await.unwrap().status(), 200);
    let refused = post("evil.example", "application/json").await.unwrap();
    assert_eq!((refused.status().as_u16(), refused.text().await.unwrap()), (403, "invalid host specified\n".into()));
    // What a web form of another site may send without asking.
    assert_eq!(post("localhost", "text/plain").await.unwrap().status(), 415);
    assert_eq!(client.get(node.url()).send().await.unwrap().status(), 405);
    let preflight =
        client.request(reqwest::Method::OPTIONS, node.url()).header("origin", "https://a").send().await.unwrap();
    assert!(preflight.headers().get("access-control-allow-origin").is_none());

    let open = TestNode::with(|config| config.allowed_hosts = vec!["*".into()]).await;
    let answer =
        client.post(open.url()).header("host", "evil.example").header("content-type", "application/json").body(body);
    assert_eq!(answer.send().await.unwrap().status(), 200);
}

/// Reads from a connection until it is closed.
async fn read_out(socket: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    tokio::time::timeout(Duration::from_secs(20), socket.read_to_end(&mut bytes)).await.unwrap().unwrap();
    String::from_utf8(bytes).unwrap()
}

fn http(body: &str, rest: &str) -> String {
    format!(
        "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{rest}\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_and_room_is_found_again() {
    let node = TestNode::with(|config| config.connections_max = 1).await;
    let body = request(1, "eth_chainId", &json!([])).to_string();
    let mut first = TcpStream::connect(node.server.address()).await.unwrap();
    first.write_all(http(&body, "").as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    first.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");

    // The first is served and still open, so the second is closed unheard.
    let mut second = TcpStream::connect(node.server.address()).await.unwrap();
    let mut byte = [0];
    let closed = tokio::time::timeout(Duration::from_secs(20), second.read(&mut byte)).await.unwrap();
    assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");

    first.write_all(http(&body, "connection: close\r\n").as_bytes()).await.unwrap();
    assert!(read_out(&mut first).await.contains("0x1770"));
    // The permit returns a moment after the socket closes; a refused client tries again, and so does this one.
    tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            let mut third = TcpStream::connect(node.server.address()).await.unwrap();
            let _ = third.write_all(http(&body, "connection: close\r\n").as_bytes()).await;
            let mut text = String::new();
            if third.read_to_string(&mut text).await.is_ok() && text.contains("0x1770") {
                return;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_call_beyond_those_that_may_wait_is_429_and_the_others_are_answered() {
    let node = TestNode::within(|_, limits| (limits.reads.running_max, limits.reads.waiting_max) = (1, 1)).await;
    let pool = node.hold_pool();
    let body = request(1, "eth_getTransactionCount", &json!([account(1), "pending"])).to_string();
    // One is under way, one waits for its turn, and for one there is no place.
    let mut calls: FuturesUnordered<_> = (0..3).map(|_| node.post(body.clone())).collect();
    let (code, text) = tokio::time::timeout(EVENTUALLY, calls.next()).await.unwrap().unwrap();
    assert_eq!((code, error_of(&text)), (429, (-32_005, "too many requests: 1 calls wait already".to_owned())));
    // Clients read the status of a batch too.
    let batch = json!([request(1, "eth_chainId", &json!([]))]).to_string();
    assert_eq!(node.post(batch).await.0, 429);
    drop(pool);
    for _ in 0..2 {
        let (code, text) = tokio::time::timeout(EVENTUALLY, calls.next()).await.unwrap().unwrap();
        assert_eq!((code, &serde_json::from_str::<Value>(&text).unwrap()["result"]), (200, &json!("0x0")));
    }
}

#[tokio::test]
async fn a_connection_on_which_nothing_is_asked_is_closed() {
    let node = TestNode::within(|_, limits| limits.first_request_max = Duration::from_millis(100)).await;
    let mut mute = TcpStream::connect(node.server.address()).await.unwrap();
    assert_eq!(read_out(&mut mute).await, "");
}

#[tokio::test]
async fn a_connection_that_was_used_or_stops_within_a_head_is_closed_once_it_is_idle() {
    let node = TestNode::within(|_, limits| limits.idle_max = Duration::from_secs(2)).await;
    let body = request(1, "eth_chainId", &json!([])).to_string();
    let mut used = TcpStream::connect(node.server.address()).await.unwrap();
    used.write_all(http(&body, "").as_bytes()).await.unwrap();
    let mut stopped = TcpStream::connect(node.server.address()).await.unwrap();
    stopped.write_all(b"POST / HTTP/1.1\r\nhost: local").await.unwrap();
    let answer = read_out(&mut used).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(r#""result":"0x1770"}"#), "{answer}");
    assert!(!read_out(&mut stopped).await.contains("200 OK"));
}

#[tokio::test]
async fn a_body_that_does_not_come_is_408() {
    let node = TestNode::within(|_, limits| limits.request_max = Duration::from_millis(200)).await;
    let mut slow = TcpStream::connect(node.server.address()).await.unwrap();
    let whole = http(&request(1, "eth_chainId", &json!([])).to_string(), "");
    slow.write_all(&whole.as_bytes()[..whole.len() - 1]).await.unwrap();
    let answer = read_out(&mut slow).await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.ends_with("request timed out\n"), "{answer}");
}

#[tokio::test]
async fn stopping_ends_idle_connections_and_frees_the_port() {
    let node = TestNode::start().await;
    let address = node.server.address();
    let body = request(1, "eth_chainId", &json!([])).to_string();
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(http(&body, "").as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    idle.read_exact(&mut answer).await.unwrap();
    node.server.stop().await;
    read_out(&mut idle).await;
    assert!(TcpStream::connect(address).await.is_err());
}
