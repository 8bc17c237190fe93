// Making series of prometheus-cpp in one line each, and finding those of a label without a lock.
//
// Who: monitoring/prometheus.cpp, on the training thread of rank 0.
#pragma once

#include "monitoring/sink.h"

#include <map>
#include <string>
#include <string_view>

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>

namespace cltrain {

using prometheus::Counter;
using prometheus::Family;
using prometheus::Gauge;
using prometheus::Registry;

inline Family<Gauge>& gauges(Registry& registry, const char* name, const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry);
}

inline Gauge& gauge(Registry& registry, const char* name, const char* help, double start = 0) {
  Gauge& made = gauges(registry, name, help).Add({});
  made.Set(start);
  return made;
}

inline Counter& counter(Registry& registry, const char* name, const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry).Add({});
}

/// Series of one family that differ in one label. They are looked up once: Family::Add takes the
/// lock that a scrape holds while it copies the family; what the map holds is found without it.
template <class Series>
class Labelled {
 public:
  Labelled(Family<Series>& family, const char* label) : family_(family), label_(label) {}

  Series& operator[](std::string_view value) {
    const auto found = known_.find(value);
    if (found != known_.end()) return *found->second;
    Series& made = family_.Add({{label_, std::string(value)}});
    known_.emplace(value, &made);
    return made;
  }

  auto begin() { return known_.begin(); }
  auto end() { return known_.end(); }

 private:
  Family<Series>& family_;
  const char* label_;
  std::map<std::string, Series*, std::less<>> known_;
};

template <class Names>
Labelled<Counter> labelled_counters(Registry& registry, const char* name, const char* help,
                                    const char* label, const Names& values) {
  Labelled<Counter> made(prometheus::BuildCounter().Name(name).Help(help).Register(registry),
                         label);
  for (std::string_view value : values) made[value];
  return made;
}

/// Adds each value to the series of its name. Counters refuse what is negative.
inline void add(Labelled<Counter>& counters, const NamedValues& values) {
  for (const auto& [name, value] : values)
    if (value > 0) counters[name].Increment(value);
}

}  // namespace cltrain
