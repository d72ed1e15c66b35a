//! The same methods over WebSocket, and what a WebSocket alone can do wrong.

use std::time::Duration;

use alloy_eips::eip2718::Encodable2718 as _;
use baton_proto::Transaction;
use jsonrpsee::{
    core::{
        client::{ClientT as _, Error, Subscription, SubscriptionClientT as _},
        params::BatchRequestBuilder,
    },
    rpc_params,
    ws_client::{WsClient, WsClientBuilder},
};
use serde_json::{Value, json};
use soketto::{Data, Incoming, handshake::ServerResponse};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt as _};

use super::node::{CHAIN_ID, TestNode, legacy, tx};

/// Limit of every wait; a test that is well takes a fraction of it on any machine.
pub(super) const EVENTUALLY: Duration = Duration::from_secs(60);

pub(super) async fn connect(node: &TestNode) -> WsClient {
    let builder = WsClientBuilder::new().request_timeout(EVENTUALLY).max_buffer_capacity_per_subscription(4_096);
    builder.build(node.url().replace("http://", "ws://")).await.unwrap()
}

/// What a refused call got: code and message.
pub(super) fn refused<T: std::fmt::Debug>(result: Result<T, Error>) -> (i32, String) {
    match result {
        Err(Error::Call(error)) => (error.code(), error.message().to_owned()),
        other => panic!("expected a refusal, got {other:?}"),
    }
}

/// A client that decides itself when to read.
async fn connect_raw(socket: TcpStream) -> (soketto::Sender<Compat<TcpStream>>, soketto::Receiver<Compat<TcpStream>>) {
    let host = socket.peer_addr().unwrap().to_string();
    let mut client = soketto::handshake::Client::new(socket.compat(), &host, "/");
    match client.handshake().await.unwrap() {
        ServerResponse::Accepted { .. } => client.into_builder().finish(),
        other => panic!("{other:?}"),
    }
}

async fn next_text(receiver: &mut soketto::Receiver<Compat<TcpStream>>) -> Result<Value, soketto::connection::Error> {
    loop {
        let mut message = Vec::new();
        match tokio::time::timeout(EVENTUALLY, receiver.receive(&mut message)).await.unwrap()? {
            Incoming::Data(Data::Text(_)) => return Ok(serde_json::from_slice(&message).unwrap()),
            Incoming::Closed(_) => return Err(soketto::connection::Error::Closed),
            Incoming::Data(Data::Binary(_)) | Incoming::Pong(_) => {}
        }
    }
}

fn call(id: u64, method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

#[tokio::test]
async fn calls_and_batches_are_answered_as_over_http() {
    let node = TestNode::start().await;
    let client = connect(&node).await;
    let transaction = tx(1, 0, 7);
    let sent: Value =
        client.request("eth_sendRawTransaction", rpc_params![super::node::raw(&transaction)]).await.unwrap();
    assert_eq!(sent, json!(transaction.hash()));
    node.finalize(vec![transaction]);
    let over_ws: Value = client.request("eth_getBlockByNumber", rpc_params!["latest", true]).await.unwrap();
    assert_eq!(over_ws, node.call("eth_getBlockByNumber", json!(["latest", true])).await);

    let unknown = refused(client.request::<Value, _>("eth_nope", rpc_params![]).await);
    assert_eq!(unknown, (-32_601, "the method eth_nope does not exist/is not available".to_owned()));
    let wrong = refused(client.request::<Value, _>("eth_getBlockByNumber", rpc_params!["latest"]).await);
    assert_eq!(wrong, (-32_602, "missing value for required argument 1".to_owned()));

    let mut batch = BatchRequestBuilder::new();
    for _ in 0..100 {
        batch.insert("eth_blockNumber", rpc_params![]).unwrap();
        batch.insert("eth_nope", rpc_params![]).unwrap();
    }
    let answers = client.batch_request::<Value>(batch).await.unwrap();
    assert_eq!((answers.num_successful_calls(), answers.num_failed_calls()), (100, 100));
}

#[tokio::test]
async fn a_client_may_ask_far_more_than_is_answered_at_a_time() {
    let node = TestNode::start().await;
    let (mut sender, mut receiver) = connect_raw(TcpStream::connect(node.server.address()).await.unwrap()).await;
    for id in 0..1_000 {
        sender.send_text(call(id, "eth_chainId", &json!([])).to_string()).await.unwrap();
    }
    sender.flush().await.unwrap();
    let mut answered = std::collections::BTreeSet::new();
    for _ in 0..1_000 {
        let answer = next_text(&mut receiver).await.unwrap();
        assert_eq!(answer["result"], "0x1770");
        answered.insert(answer["id"].as_u64().unwrap());
    }
    assert_eq!(answered.len(), 1_000);
}

#[tokio::test]
async fn bounds_of_a_message_a_batch_and_an_answer_hold() {
    let node = TestNode::with(|config| {
        config.body_bytes_max = 20_000;
        config.answer_bytes_max = 4_000;
        config.batch_items_max = 3;
    })
    .await;
    node.finalize((0..20).map(|nonce| tx(1, nonce, 1)).collect());
    let (mut sender, mut receiver) = connect_raw(TcpStream::connect(node.server.address()).await.unwrap()).await;
    let mut ask = async |text: String| {
        sender.send_text(text).await.unwrap();
        sender.flush().await.unwrap();
        next_text(&mut receiver).await.unwrap()
    };
    assert_eq!(ask("{".into()).await["error"]["code"], -32_700);
    assert_eq!(ask("7".into()).await["error"]["code"], -32_700);
    assert_eq!(ask("[]".into()).await["error"]["code"], -32_600);
    let four: Vec<Value> = (0..4).map(|id| call(id, "eth_chainId", &json!([]))).collect();
    let answer = ask(json!(four).to_string()).await;
    assert_eq!((&answer["error"]["code"], &answer["error"]["message"]), (&json!(-32_600), &json!("batch too large")));
    let answer = ask(call(1, "eth_getBlockByNumber", &json!(["latest", true])).to_string()).await;
    assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(1), &json!(-32_003)));
    // A subscription's answer travels with its notifications, which a batch's cannot.
    let answers = ask(json!([call(1, "eth_subscribe", &json!(["newHeads"]))]).to_string()).await;
    assert_eq!(answers[0]["error"]["message"], "subscriptions are not available in a batch");
    assert_eq!(ask(call(2, "eth_chainId", &json!([])).to_string()).await["result"], "0x1770");

    let answer = ask(call(3, "eth_chainId", &json!(["x".repeat(30_000)])).to_string()).await;
    assert_eq!(answer["error"]["message"], "request too large: at most 20000 bytes");
    assert!(next_text(&mut receiver).await.is_err(), "what follows half a message cannot be read");
}

#[tokio::test]
async fn a_websocket_takes_a_place_among_the_connections_and_stopping_ends_it() {
    let node = TestNode::with(|config| config.connections_max = 1).await;
    let address = node.server.address();
    let first = connect(&node).await;
    assert_eq!(first.request::<Value, _>("eth_chainId", rpc_params![]).await.unwrap(), "0x1770");
    let mut second = TcpStream::connect(address).await.unwrap();
    let mut byte = [0];
    let closed = tokio::time::timeout(EVENTUALLY, second.read(&mut byte)).await.unwrap();
    assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");

    drop(first);
    let third = tokio::time::timeout(EVENTUALLY, async {
        loop {
            let url = format!("ws://{address}");
            if let Ok(client) = WsClientBuilder::new().build(url).await {
                return client;
            }
            tokio::task::yield_now().await;
        }
    });
    let third: WsClient = third.await.unwrap();
    assert_eq!(third.request::<Value, _>("eth_chainId", rpc_params![]).await.unwrap(), "0x1770");
    node.server.stop().await;
    tokio::time::timeout(EVENTUALLY, third.on_disconnect()).await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

/// Asks for a WebSocket by hand; returns the connection, and of the answer what comes before the reason.
async fn upgrade(node: &TestNode, host: &str, origin: Option<&str>) -> (TcpStream, String) {
    let mut socket = TcpStream::connect(node.server.address()).await.unwrap();
    let origin = origin.map(|origin| format!("origin: {origin}\r\n")).unwrap_or_default();
    let head = format!(
        "GET / HTTP/1.1\r\nhost: {host}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{origin}\r\n"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    socket.read_exact(&mut status).await.unwrap();
    (socket, String::from_utf8(status.to_vec()).unwrap())
}

#[tokio::test]
async fn a_client_that_answers_no_pings_is_cut_off() {
    let node = TestNode::within(|_, limits| {
        (limits.ping_every, limits.silence_max) = (Duration::from_millis(50), Duration::from_millis(200));
    })
    .await;
    let (mut silent, status) = upgrade(&node, "localhost", None).await;
    assert_eq!(status, "HTTP/1.1 101");
    let mut bytes = Vec::new();
    let _ = tokio::time::timeout(EVENTUALLY, silent.read_to_end(&mut bytes)).await.expect("it is never closed");
    assert!(bytes.windows(2).any(|frame| frame == [0x89, 0x00]), "it was not asked whether it is there: {bytes:?}");
}

#[tokio::test]
async fn a_web_page_needs_to_be_listed_and_a_rebound_name_is_refused() {
    let node = TestNode::with(|config| config.allowed_origins = vec!["https://app.example".into()]).await;
    let upgrade = async |host: &str, origin: Option<&str>| upgrade(&node, host, origin).await.1;
    assert_eq!(upgrade("localhost", None).await, "HTTP/1.1 101");
    assert_eq!(upgrade("localhost", Some("https://app.example")).await, "HTTP/1.1 101");
    assert_eq!(upgrade("localhost", Some("https://evil.example")).await, "HTTP/1.1 403");
    assert_eq!(upgrade("evil.example", None).await, "HTTP/1.1 403");
}

#[tokio::test]
async fn subscriptions_of_a_connection_are_bounded() {
    let node = TestNode::with(|config| config.subscriptions_max = 2).await;
    let (client, other) = (connect(&node).await, connect(&node).await);
    let first = subscribe(&client).await.unwrap();
    let _second = subscribe(&client).await.unwrap();
    let third = refused(subscribe(&client).await);
    assert_eq!(third, (-32_005, "too many subscriptions on this connection: at most 2".to_owned()));
    let _others = subscribe(&other).await.unwrap();
    first.unsubscribe().await.unwrap();
    tokio::time::timeout(EVENTUALLY, async {
        while subscribe(&client).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn subscriptions_of_all_connections_are_bounded_too() {
    let node = TestNode::within(|_, limits| limits.subscriptions_max = 2).await;
    let (client, other) = (connect(&node).await, connect(&node).await);
    let _first = subscribe(&client).await.unwrap();
    let second = subscribe(&other).await.unwrap();
    for client in [&client, &other] {
        let third = refused(subscribe(client).await);
        assert_eq!(third, (-32_005, "too many subscriptions on this node: at most 2".to_owned()));
    }
    second.unsubscribe().await.unwrap();
    tokio::time::timeout(EVENTUALLY, async {
        while subscribe(&client).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}

/// An answer that no kernel keeps for a client that does not read: 10 MB, more than half of what two may take.
const LARGE_TRANSACTIONS: u64 = 40;
const LARGE_INPUT_BYTES: usize = 120_000;
const LARGE_ANSWER_BYTES_MAX: u32 = 12_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_not_read_take_bounded_room() {
    let node = TestNode::within(|config, limits| {
        config.answer_bytes_max = LARGE_ANSWER_BYTES_MAX;
        (limits.unread_max, limits.unread_of_one_max) = (2, 2);
        (limits.write_max, limits.read_max) = (EVENTUALLY * 10, Duration::from_secs(5));
    })
    .await;
    let large = |nonce| legacy(1, nonce, Some(CHAIN_ID), vec![1; LARGE_INPUT_BYTES].into()).encoded_2718();
    node.finalize((0..LARGE_TRANSACTIONS).map(|nonce| Transaction::decode(large(nonce).into()).unwrap()).collect());
    let block = |id| call(id, "eth_getBlockByNumber", &json!(["latest", true]));
    let unread_bytes = async |are_right: &dyn Fn(i64) -> bool| {
        tokio::time::timeout(EVENTUALLY, async {
            while !are_right(node.metrics.unread_bytes.get()) {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
    };

    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let (mut sender, mut receiver) = connect_raw(socket.connect(node.server.address()).await.unwrap()).await;
    for id in 0..2 {
        sender.send_text(block(id).to_string()).await.unwrap();
    }
    sender.flush().await.unwrap();
    unread_bytes(&|bytes| bytes > LARGE_ANSWER_BYTES_MAX.into()).await;

    // Nobody else gets an answer as large, alone or in a batch, and all get small ones.
    let text = "too many requests: answers that were not read yet take all room";
    let (code, answer) = node.post(block(7).to_string()).await;
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!((code, &answer["error"]), (429, &json!({"code": -32_005, "message": text})));
    let (code, answers) = node.post(json!([call(1, "eth_chainId", &json!([])), block(2)]).to_string()).await;
    let answers: Value = serde_json::from_str(&answers).unwrap();
    assert_eq!((code, &answers[0]["result"], &answers[1]["error"]["code"]), (429, &json!("0x1770"), &json!(-32_005)));
    let client = connect(&node).await;
    let refused = refused(client.request::<Value, _>("eth_getBlockByNumber", rpc_params!["latest", true]).await);
    assert_eq!(refused, (-32_005, text.to_owned()));
    assert_eq!(client.request::<Value, _>("eth_chainId", rpc_params![]).await.unwrap(), "0x1770");
    assert_eq!(node.call("eth_blockNumber", json!([])).await, "0x1");

    // Once they are read there is room again.
    for _ in 0..2 {
        let answer = next_text(&mut receiver).await.unwrap();
        assert_eq!(answer["result"]["transactions"].as_array().unwrap().len() as u64, LARGE_TRANSACTIONS);
    }
    unread_bytes(&|bytes| bytes == 0).await;
    assert_eq!(node.call("eth_getBlockByNumber", json!(["latest", true])).await["number"], "0x1");
    // Over HTTP it is the same, but that such a client is cut off.
    let body = block(4).to_string();
    let head = format!(
        "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut over_http = socket.connect(node.server.address()).await.unwrap();
    over_http.write_all((head + &body).as_bytes()).await.unwrap();
    unread_bytes(&|bytes| bytes > 0).await;
    unread_bytes(&|bytes| bytes == 0).await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(EVENTUALLY, over_http.read_to_end(&mut answer)).await.expect("it is never closed");
    assert!(answer.starts_with(b"HTTP/1.1 200") && answer.len() < 2 * LARGE_TRANSACTIONS as usize * LARGE_INPUT_BYTES);
    // A client that goes away without reading leaves nothing behind.
    sender.send_text(block(3).to_string()).await.unwrap();
    sender.flush().await.unwrap();
    unread_bytes(&|bytes| bytes > 0).await;
    drop((sender, receiver));
    unread_bytes(&|bytes| bytes == 0).await;
}

async fn subscribe(client: &WsClient) -> Result<Subscription<Value>, Error> {
    client.subscribe("eth_subscribe", rpc_params!["newHeads"], "eth_unsubscribe").await
}

/// Subscriptions whose notifications of these blocks no kernel keeps for a client that does not read: some 10 MB.
const SLOW_SUBSCRIPTIONS: u64 = 120;
const SLOW_BLOCKS: u64 = 64;

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_reads_is_cut_off_and_holds_nobody_up() {
    let node = TestNode::within(|config, limits| {
        (config.connections_max, limits.write_max) = (2, Duration::from_secs(2));
    })
    .await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let slow = socket.connect(node.server.address()).await.unwrap();
    let (mut sender, mut receiver) = connect_raw(slow).await;
    for id in 0..SLOW_SUBSCRIPTIONS {
        sender.send_text(call(id, "eth_subscribe", &json!(["newHeads"])).to_string()).await.unwrap();
        sender.flush().await.unwrap();
        assert!(next_text(&mut receiver).await.unwrap()["result"].as_str().unwrap().starts_with("0x"));
    }
    let client = connect(&node).await;
    let mut heads = subscribe(&client).await.unwrap();
    // From here on the first client reads nothing, and the second one hears of every block.
    for height in 1..=SLOW_BLOCKS {
        node.finalize(vec![]);
        let head = tokio::time::timeout(EVENTUALLY, heads.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(head["number"], format!("{height:#x}"));
    }
    // Both places are taken until the slow client is cut off.
    tokio::time::timeout(EVENTUALLY, async {
        loop {
            if let Ok(third) = WsClientBuilder::new().build(node.url().replace("http://", "ws://")).await {
                let third: WsClient = third;
                break assert_eq!(third.request::<Value, _>("eth_chainId", rpc_params![]).await.unwrap(), "0x1770");
            }
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    node.finalize(vec![]);
    assert!(tokio::time::timeout(EVENTUALLY, heads.next()).await.unwrap().unwrap().is_ok());
    drop(sender);
}
