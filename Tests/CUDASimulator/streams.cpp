// Queues of what streams have to do.
#include "streams.h"

#include <deque>
#include <set>

namespace simulator {

std::recursive_mutex lock;

namespace {

struct Stream {
  std::deque<std::function<void()>> work;
  // How much of it there was, and how much has run.
  size_t enqueued = 0, done = 0;
};

struct Event {
  Stream *stream = nullptr;
  size_t place = 0;
};

std::set<Stream *> streams;

void run_until(Stream &stream, size_t place) {
  while (stream.done < place) {
    // Taken out first: it may run a part of another stream that waits for this one.
    const auto work = std::move(stream.work.front());
    stream.work.pop_front();
    stream.done++;
    work();
  }
}

void reach(const Event &event) {
  if (event.stream && streams.count(event.stream)) run_until(*event.stream, event.place);
}

}  // namespace

void *make_stream() {
  auto *stream = new Stream();
  streams.insert(stream);
  return stream;
}

void end_stream(void *stream) {
  finish(stream);
  streams.erase(static_cast<Stream *>(stream));
  delete static_cast<Stream *>(stream);
}

void enqueue(void *stream, std::function<void()> work) {
  auto &queue = *static_cast<Stream *>(stream);
  queue.work.push_back(std::move(work));
  queue.enqueued++;
}

void finish(void *stream) {
  auto &queue = *static_cast<Stream *>(stream);
  run_until(queue, queue.enqueued);
}

void finish_all() {
  for (auto *stream : streams) finish(stream);
}

void *make_event() { return new Event(); }
void end_event(void *event) { delete static_cast<Event *>(event); }

void record(void *event, void *stream) {
  auto *queue = static_cast<Stream *>(stream);
  *static_cast<Event *>(event) = {queue, queue->enqueued};
}

void wait_for(void *stream, void *event) {
  enqueue(stream, [event = *static_cast<Event *>(event)] { reach(event); });
}

void reach(void *event) { reach(*static_cast<Event *>(event)); }

}  // namespace simulator
