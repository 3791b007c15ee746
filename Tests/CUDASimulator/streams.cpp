// Queues of what streams have to do.
#include "streams.h"

#include <deque>
#include <set>
#include <vector>

namespace simulator {

std::recursive_mutex lock;

namespace {

struct Graph {
  std::vector<std::function<void()>> work;
};

struct Stream {
  Graph *captured = nullptr;
  bool is_spoilt = false;
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
  if (queue.captured) return queue.captured->work.push_back(std::move(work));
  queue.work.push_back(std::move(work));
  queue.enqueued++;
}

bool begin_capture(void *stream) {
  auto &queue = *static_cast<Stream *>(stream);
  if (queue.captured) return false;
  queue.captured = new Graph();
  queue.is_spoilt = false;
  return true;
}

void *end_capture(void *stream) {
  auto &queue = *static_cast<Stream *>(stream);
  Graph *graph = queue.captured;
  queue.captured = nullptr;
  if (!queue.is_spoilt) return graph;
  delete graph;
  return nullptr;
}

bool spoils_capture(void *stream) {
  auto &queue = *static_cast<Stream *>(stream);
  if (queue.captured) queue.is_spoilt = true;
  return queue.captured != nullptr;
}

// What runs later must not need a graph that has ended by then.
void launch_graph(void *graph, void *stream) {
  for (const auto &work : static_cast<Graph *>(graph)->work) enqueue(stream, work);
}

void end_graph(void *graph) { delete static_cast<Graph *>(graph); }

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
