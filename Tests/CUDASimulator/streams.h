// Streams of the simulated device. What is enqueued runs when somebody waits for it and no sooner,
// so that a copy's memory which is used again too early, or a wait between streams that is missing,
// shows. The caller holds the lock.
#pragma once

#include <functional>
#include <mutex>

namespace simulator {

// One thread at a time is in the simulated device.
extern std::recursive_mutex lock;
using Guard = std::lock_guard<std::recursive_mutex>;

void *make_stream();
void end_stream(void *stream);
void enqueue(void *stream, std::function<void()> work);
// Runs all that the stream has.
void finish(void *stream);
void finish_all();

// From now on what is enqueued is kept for a graph; false where that is so already.
bool begin_capture(void *stream);
// Null where nothing is captured, or somebody waited for the stream meanwhile.
void *end_capture(void *stream);
// Waiting for a stream that captures is an error and spoils the graph, and so are its events here,
// with which another stream would join the capture.
bool spoils_capture(void *stream);
void launch_graph(void *graph, void *stream);
void end_graph(void *graph);

void *make_event();
void end_event(void *event);
// The event is all that the stream has by now.
void record(void *event, void *stream);
// What follows in the stream runs after the event.
void wait_for(void *stream, void *event);
// Runs what the event stands for; nothing where it was never recorded.
void reach(void *event);

}  // namespace simulator
