//! Answers on their way out.

use arrow::array::RecordBatch;
use arrow_flight::FlightData;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use futures::stream::{self, BoxStream, StreamExt};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

pub type Stream<T> = BoxStream<'static, Result<T, Status>>;

/// How long a client may leave an answer unread before it is let go: it can get the same ticket again.
const PATIENCE: Duration = Duration::from_secs(60);

/// A batch as a stream, its schema first.
pub fn encoded(batch: RecordBatch) -> Stream<FlightData> {
    let schema = batch.schema();
    let batches = stream::iter([Ok::<_, FlightError>(batch)]);
    let mut messages = FlightDataEncoderBuilder::new().with_schema(schema).build(batches);
    let (send, receive) = mpsc::channel(1);
    tokio::spawn(async move {
        while let Some(message) = messages.next().await {
            let message = message.map_err(|e| Status::unavailable(e.to_string()));
            if !matches!(tokio::time::timeout(PATIENCE, send.send(message)).await, Ok(Ok(()))) {
                break;
            }
        }
    });
    ReceiverStream::new(receive).boxed()
}
