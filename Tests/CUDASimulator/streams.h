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

void *make_event();
void end_event(void *event);
// The event is all that the stream has by now.
void record(void *event, void *stream);
// What follows in the stream runs after the event.
void wait_for(void *stream, void *event);
// Runs what the event stands for; nothing where it was never recorded.
void reach(void *event);

}  // namespace simulator
