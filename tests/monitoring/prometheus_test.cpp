#include "monitoring/prometheus.h"

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <memory>
#include <sstream>
#include <string>
#include <thread>

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace cltrain {
namespace {

/// GET /metrics over a plain socket; the body, or "" when nobody answers.
std::string scrape(int port) {
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::string answer;
  if (::connect(socket, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) {
    const std::string request = "GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n";
    EXPECT_EQ(::write(socket, request.data(), request.size()),
              static_cast<ssize_t>(request.size()));
    char buffer[4096];
    for (ssize_t n; (n = ::read(socket, buffer, sizeof buffer)) > 0;) answer.append(buffer, n);
  }
  ::close(socket);
  const size_t body = answer.find("\r\n\r\n");
  return body == std::string::npos ? "" : answer.substr(body + 4);
}

/// The value of a series written exactly as `series`; NaN (and a failure) where it is missing.
double value_of(const std::string& body, const std::string& series) {
  std::istringstream lines(body);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(series + " ")) return std::atof(line.c_str() + series.size());
  }
  ADD_FAILURE() << "no series " << series << " in\n" << body;
  return std::numeric_limits<double>::quiet_NaN();
}

MetricsOptions free_port() {
  MetricsOptions options;
  options.port = 0;
  return options;
}

RunInfo info() {
  return {.version = "0.1.0",
          .commit = "abc",
          .torch = "2.11.0",
          .run = "runs/\"quoted\"",
          .method = "simclr",
          .dataset = "fashion_mnist",
          .ranks = 4,
          .restarts = 2,
          .total_steps = 1000};
}

StepRecord step_record(int64_t step, double loss, double seconds) {
  StepRecord r;
  r.step = step;
  r.epoch = 1;
  r.loss = loss;
  r.learning_rate = 0.125;
  r.samples_per_second = 640;
  r.samples = 64;
  r.step_seconds = seconds;
  r.scalars = {{"temperature", 0.5}};
  r.phase_seconds = {{"data", 0.25}, {"backward", 1.5}};
  return r;
}

TEST(Prometheus, StartsFromZero) {
  PrometheusSink sink(free_port(), info());
  ASSERT_EQ(sink.warning(), "");
  ASSERT_GT(sink.port(), 0);
  const std::string body = scrape(sink.port());
  EXPECT_EQ(value_of(body, "cltrain_steps_total"), 0);
  EXPECT_EQ(value_of(body, "cltrain_samples_total"), 0);
  EXPECT_EQ(value_of(body, "cltrain_nonfinite_steps_total"), 0);
  for (std::string_view phase : kPhases) {
    EXPECT_EQ(value_of(body, "cltrain_phase_seconds_total{phase=\"" + std::string(phase) + "\"}"),
              0);
  }
  for (std::string_view operation : kCollectives) {
    EXPECT_EQ(value_of(body, "cltrain_communication_bytes_total{operation=\"" +
                                 std::string(operation) + "\"}"),
              0);
  }
  for (std::string_view kind : kDataErrorKinds) {
    EXPECT_EQ(value_of(body, "cltrain_data_errors_total{kind=\"" + std::string(kind) + "\"}"), 0);
  }
  for (const char* series :
       {"cltrain_checkpoints_total", "cltrain_write_failures_total",
        "cltrain_slowest_rank_lag_seconds_total", "cltrain_step_duration_seconds_count",
        "cltrain_checkpoint_last_success_timestamp_seconds", "cltrain_loader_ready_batches"}) {
    EXPECT_EQ(value_of(body, series), 0);
  }
  EXPECT_EQ(value_of(body, "cltrain_build_info{commit=\"abc\",torch=\"2.11.0\",version=\"0.1.0\"}"),
            1);
}

TEST(Prometheus, WhatIsNotMeasuredYetIsNotANumber) {
  PrometheusSink sink(free_port(), info());
  const std::string body = scrape(sink.port());
  for (const char* series :
       {"cltrain_loss", "cltrain_learning_rate", "cltrain_temperature", "cltrain_gradient_norm",
        "cltrain_parameter_norm", "cltrain_embedding_std", "cltrain_alignment",
        "cltrain_uniformity", "cltrain_positive_similarity", "cltrain_hardest_negative_similarity",
        "cltrain_checkpoint_duration_seconds", "cltrain_checkpoint_size_bytes"}) {
    EXPECT_NE(body.find(std::string("\n") + series + " Nan\n"), std::string::npos)
        << series << " in\n"
        << body;
  }
}

TEST(Prometheus, TheRunItsStateAndItsRestarts) {
  PrometheusSink sink(free_port(), info());
  const auto states = [&](const std::string& expected) {
    const std::string body = scrape(sink.port());
    for (std::string_view state : kRunStates) {
      EXPECT_EQ(value_of(body, "cltrain_run_state{state=\"" + std::string(state) + "\"}"),
                state == expected ? 1 : 0)
          << state;
    }
  };
  states("starting");
  sink.state("training");
  states("training");
  sink.state("checkpointing");
  states("checkpointing");
  const std::string body = scrape(sink.port());
  EXPECT_EQ(value_of(body, "cltrain_restarts"), 2);
  EXPECT_EQ(value_of(body, "cltrain_target_steps"), 1000);
  EXPECT_GT(value_of(body, "cltrain_start_timestamp_seconds"), 1.7e9);
  EXPECT_GT(value_of(body, "cltrain_peak_resident_memory_bytes"), 1e6);
}

TEST(Prometheus, MeasuresKeepTheirLastValueAndCountersAdd) {
  PrometheusSink sink(free_port(), info());
  StepRecord r = step_record(50, 1, 0.1);
  r.gradient_norm = 2.5;
  r.parameter_norm = 30;
  r.similarity = {{"embedding_std", 0.0625},
                  {"alignment", 0.5},
                  {"uniformity", -2},
                  {"positive_similarity", 0.75},
                  {"hardest_negative_similarity", 0.25}};
  r.slowest_rank = 3;
  r.slowest_lag_seconds = 0.5;
  r.communication_bytes = {{"all_gather", 1000}, {"all_reduce", 64}};
  r.data_errors = {{"damaged", 2}};
  r.batches_ready = 4;
  r.resident_bytes = 1 << 30;
  r.device_bytes = 1 << 20;
  sink.step(r);
  StepRecord next = step_record(51, 1, 0.1);
  next.gradient_norm = 1.5;
  next.slowest_lag_seconds = 0.25;
  next.communication_bytes = {{"all_gather", 500}};
  next.data_errors = {{"damaged", 1}, {"unreadable", 1}};
  sink.step(next);
  sink.checkpoint({51, "somewhere", 1.5, 4096});
  sink.write_failure("no space");
  sink.evaluation({51, "knn", {{"top1", 0.5}}, 12.5});
  const std::string body = scrape(sink.port());
  EXPECT_EQ(value_of(body, "cltrain_gradient_norm"), 1.5);
  EXPECT_EQ(value_of(body, "cltrain_parameter_norm"), 30);
  EXPECT_EQ(value_of(body, "cltrain_embedding_std"), 0.0625);
  EXPECT_EQ(value_of(body, "cltrain_alignment"), 0.5);
  EXPECT_EQ(value_of(body, "cltrain_uniformity"), -2);
  EXPECT_EQ(value_of(body, "cltrain_positive_similarity"), 0.75);
  EXPECT_EQ(value_of(body, "cltrain_hardest_negative_similarity"), 0.25);
  EXPECT_EQ(value_of(body, "cltrain_temperature"), 0.5);
  EXPECT_EQ(value_of(body, "cltrain_slowest_rank"), 0);
  EXPECT_EQ(value_of(body, "cltrain_slowest_rank_lag_seconds"), 0.25);
  EXPECT_EQ(value_of(body, "cltrain_slowest_rank_lag_seconds_total"), 0.75);
  EXPECT_EQ(value_of(body, "cltrain_communication_bytes_total{operation=\"all_gather\"}"), 1500);
  EXPECT_EQ(value_of(body, "cltrain_communication_bytes_total{operation=\"all_reduce\"}"), 64);
  EXPECT_EQ(value_of(body, "cltrain_data_errors_total{kind=\"damaged\"}"), 3);
  EXPECT_EQ(value_of(body, "cltrain_data_errors_total{kind=\"unreadable\"}"), 1);
  EXPECT_EQ(value_of(body, "cltrain_loader_ready_batches"), 0);
  EXPECT_EQ(value_of(body, "cltrain_resident_memory_bytes"), 0);  // the last record's
  EXPECT_EQ(value_of(body, "cltrain_checkpoints_total"), 1);
  EXPECT_EQ(value_of(body, "cltrain_checkpoint_duration_seconds"), 1.5);
  EXPECT_EQ(value_of(body, "cltrain_checkpoint_size_bytes"), 4096);
  EXPECT_EQ(value_of(body, "cltrain_write_failures_total"), 1);
  EXPECT_EQ(value_of(body, "cltrain_evaluation_duration_seconds{probe=\"knn\"}"), 12.5);
}

TEST(Prometheus, ServesWhatTheStepsReported) {
  PrometheusSink sink(free_port(), info());
  const double before =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  // A resumed run: the gauge is absolute, the counter is this process's.
  sink.step(step_record(41, 5.0, 0.3));
  sink.step(step_record(42, 4.75, 3.0));
  StepRecord refused = step_record(43, std::numeric_limits<double>::quiet_NaN(), 0.3);
  refused.refused = true;
  sink.step(refused);
  sink.step(step_record(44, 1.0 / 3.0, 0.3));
  sink.evaluation({44, "knn", {{"top1", 0.8425}, {"ndcg", 0.5}}, 1});
  sink.checkpoint({44, "somewhere", 1});
  const std::string body = scrape(sink.port());
  EXPECT_EQ(value_of(body, "cltrain_steps_total"), 4);
  EXPECT_EQ(value_of(body, "cltrain_samples_total"), 256);
  EXPECT_EQ(value_of(body, "cltrain_nonfinite_steps_total"), 1);
  EXPECT_EQ(value_of(body, "cltrain_step"), 44);
  EXPECT_EQ(value_of(body, "cltrain_epoch"), 1);
  EXPECT_NEAR(value_of(body, "cltrain_loss"), 1.0 / 3.0, 1e-15);
  EXPECT_EQ(value_of(body, "cltrain_learning_rate"), 0.125);
  EXPECT_EQ(value_of(body, "cltrain_samples_per_second"), 640);
  EXPECT_EQ(value_of(body, "cltrain_scalar{name=\"temperature\"}"), 0.5);
  EXPECT_EQ(value_of(body, "cltrain_phase_seconds_total{phase=\"data\"}"), 1.0);
  EXPECT_EQ(value_of(body, "cltrain_phase_seconds_total{phase=\"backward\"}"), 6.0);
  EXPECT_EQ(value_of(body, "cltrain_step_duration_seconds_count"), 4);
  EXPECT_EQ(value_of(body, "cltrain_step_duration_seconds_bucket{le=\"0.2\"}"), 0);
  EXPECT_EQ(value_of(body, "cltrain_step_duration_seconds_bucket{le=\"0.5\"}"), 3);
  EXPECT_EQ(value_of(body, "cltrain_step_duration_seconds_bucket{le=\"5\"}"), 4);
  EXPECT_EQ(value_of(body, "cltrain_evaluation_accuracy_ratio{probe=\"knn\",score=\"top1\"}"),
            0.8425);
  EXPECT_EQ(value_of(body, "cltrain_evaluation_score{probe=\"knn\",score=\"ndcg\"}"), 0.5);
  EXPECT_GE(value_of(body, "cltrain_last_step_timestamp_seconds"), before);
  EXPECT_GE(value_of(body, "cltrain_checkpoint_last_success_timestamp_seconds"), before);
}

TEST(Prometheus, PromtoolFindsNothingToSay) {
  PrometheusSink sink(free_port(), info());
  sink.step(step_record(1, std::numeric_limits<double>::quiet_NaN(), 0.01));
  sink.evaluation({1, "knn", {{"top1", 0.5}, {"ndcg", 0.5}}, 1});
  sink.checkpoint({1, "somewhere", 1.5, 4096});
  sink.write_failure("no space");
  scrape(sink.port());  // a second scrape also shows the exposer's own series filled
  char name[] = "/tmp/cltrain_metrics_XXXXXX";
  const int descriptor = mkstemp(name);
  ASSERT_GE(descriptor, 0);
  const std::string body = scrape(sink.port());
  ASSERT_EQ(::write(descriptor, body.data(), body.size()), static_cast<ssize_t>(body.size()));
  ::close(descriptor);
  ASSERT_EQ(std::system("command -v promtool >/dev/null"), 0)
      << "promtool is part of the Debian package prometheus: apt-get install prometheus";
  FILE* pipe = popen((std::string("promtool check metrics 2>&1 <") + name).c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  std::string said;
  for (int c; (c = std::fgetc(pipe)) != EOF;) said += static_cast<char>(c);
  EXPECT_EQ(pclose(pipe), 0) << said;
  EXPECT_EQ(said, "");
  ::unlink(name);
}

TEST(Prometheus, BusyPortIsAWarning) {
  PrometheusSink first(free_port(), info());
  MetricsOptions options;
  options.port = first.port();
  PrometheusSink second(options, info());
  EXPECT_EQ(second.port(), 0);
  EXPECT_NE(second.warning().find("127.0.0.1:" + std::to_string(first.port())), std::string::npos)
      << second.warning();
  EXPECT_NE(second.warning().find("metrics.port=0"), std::string::npos);
  second.step(step_record(1, 1, 1));  // goes on unwatched
  EXPECT_EQ(value_of(scrape(first.port()), "cltrain_steps_total"), 0);
}

TEST(Prometheus, ForeignAddressIsAWarning) {
  MetricsOptions options = free_port();
  options.bind = "192.0.2.1";  // TEST-NET-1: nobody's
  PrometheusSink sink(options, info());
  EXPECT_EQ(sink.port(), 0);
  EXPECT_NE(sink.warning(), "");
}

TEST(Prometheus, EndsAtOnceAndFreesThePort) {
  auto sink = std::make_unique<PrometheusSink>(free_port(), info());
  const int port = sink->port();
  EXPECT_NE(scrape(port), "");
  const auto start = std::chrono::steady_clock::now();
  sink.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(1));
  EXPECT_EQ(scrape(port), "");
}

TEST(Prometheus, ScrapesDuringStepsAreConsistent) {
  PrometheusSink sink(free_port(), info());
  std::atomic<bool> done{false};
  std::thread trainer([&] {
    for (int64_t step = 1; step <= 20000; ++step) sink.step(step_record(step, 1, 0.01));
    done = true;
  });
  double last = 0;
  while (!done) {
    const double steps = value_of(scrape(sink.port()), "cltrain_steps_total");
    EXPECT_GE(steps, last);
    last = steps;
  }
  trainer.join();
  const std::string body = scrape(sink.port());
  EXPECT_EQ(value_of(body, "cltrain_steps_total"), 20000);
  EXPECT_EQ(value_of(body, "cltrain_step_duration_seconds_count"), 20000);
}

}  // namespace
}  // namespace cltrain
