// The C++ side of the golden files that make_golden_*.py write: networks whose weights follow the
// formulas of golden_values.py, and comparisons with what the scripts found.
#pragma once

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>
#include <torch/nn/module.h>

namespace cltrain::testing {

/// Numbers in [-1, 1) of the name and the flat index.
inline at::Tensor filled(const std::string& name, at::IntArrayRef shape) {
  uint32_t salt = 0x811C9DC5;
  for (const char letter : name) salt = (salt ^ static_cast<unsigned char>(letter)) * 0x01000193u;
  at::Tensor values = at::empty(shape, at::kDouble);
  auto* out = values.mutable_data_ptr<double>();
  for (int64_t i = 0; i < values.numel(); ++i) {
    uint32_t h = static_cast<uint32_t>(i) * 0x9E3779B1u + salt;
    h = (h ^ (h >> 15)) * 0x85EBCA77u;
    h = (h ^ (h >> 13)) * 0xC2B2AE3Du;
    out[i] = (h ^ (h >> 16)) / 2147483648.0 - 1;
  }
  return values;
}

inline void fill_one(const std::string& name, at::Tensor tensor) {
  if (!tensor.is_floating_point()) return;
  at::Tensor values = filled(name, tensor.sizes());
  if (tensor.dim() >= 4)
    values.mul_(std::sqrt(6.0 / static_cast<double>(tensor.numel() / tensor.size(0))));
  else if (tensor.dim() == 2)
    values.mul_(std::sqrt(3.0 / static_cast<double>(tensor.size(1))));
  else if (name.ends_with("running_var"))
    values.mul_(0.5).add_(1);
  else if (name.ends_with("weight"))
    values.mul_(0.2).add_(1);
  else
    values.mul_(0.1);
  tensor.detach().copy_(values);
}

inline void fill(const torch::nn::Module& net) {
  for (const auto& item : net.named_parameters()) fill_one(item.key(), item.value());
  for (const auto& item : net.named_buffers()) fill_one(item.key(), item.value());
}

/// Vectors by name, of golden/<file>: "name count numbers" a line.
class Golden {
 public:
  explicit Golden(const std::string& file) {
    std::ifstream stream(std::string(CLTRAIN_TEST_FILES "/golden/") + file);
    std::string name;
    for (size_t count = 0; stream >> name >> count;) {
      std::vector<double>& values = all_[name];
      values.resize(count);
      for (double& value : values) stream >> value;
    }
  }
  const std::vector<double>& at(const std::string& name) const { return all_.at(name); }

  /// The largest difference, relative to the largest number of the golden vector.
  double error_of(const at::Tensor& found, const std::string& name) const {
    const std::vector<double>& expected = all_.at(name);
    const at::Tensor flat = found.detach().to(at::kDouble).contiguous().view(-1);
    EXPECT_EQ(flat.numel(), static_cast<int64_t>(expected.size())) << name;
    double worst = 0, largest = 0;
    for (size_t i = 0; i < std::min<size_t>(expected.size(), flat.numel()); ++i) {
      worst = std::max(worst, std::abs(flat.const_data_ptr<double>()[i] - expected[i]));
      largest = std::max(largest, std::abs(expected[i]));
    }
    EXPECT_GT(largest, 0) << name;
    return worst / largest;
  }

  /// Compares tensors with the script's summaries(): of each, in the order of names, the norm and
  /// the product with numbers without a pattern. Errors are relative to the norm, or to `floor`
  /// where that is larger.
  void expect_summaries(const std::map<std::string, at::Tensor>& tensors, const std::string& title,
                        double tolerance, double floor) const {
    const std::vector<double>& expected = all_.at(title);
    ASSERT_EQ(2 * tensors.size(), expected.size()) << title;
    size_t i = 0;
    for (const auto& [name, tensor] : tensors) {
      const at::Tensor values = tensor.detach().to(at::kDouble);
      const double norm = expected[i++], product = expected[i++];
      const double allowed = tolerance * std::max(norm, floor);
      EXPECT_NEAR(values.norm().item<double>(), norm, allowed) << title << " " << name;
      EXPECT_NEAR((values * filled("probe." + name, values.sizes())).sum().item<double>(), product,
                  allowed)
          << title << " " << name;
    }
  }

 private:
  std::map<std::string, std::vector<double>> all_;
};

/// Names and shapes ("64x3x7x7", "scalar") of a network's tensors, and how many numbers its
/// parameters are.
struct States {
  int64_t parameters = 0;
  std::map<std::string, std::string> shapes;
};

inline std::string shape_text(const at::Tensor& tensor) {
  std::string text;
  for (const int64_t extent : tensor.sizes())
    text += (text.empty() ? "" : "x") + std::to_string(extent);
  return text.empty() ? "scalar" : text;
}

inline States states_of(const torch::nn::Module& net) {
  States found;
  for (const auto& item : net.named_parameters()) {
    found.parameters += item.value().numel();
    found.shapes[item.key()] = shape_text(item.value());
  }
  for (const auto& item : net.named_buffers()) found.shapes[item.key()] = shape_text(item.value());
  return found;
}

/// By network, from a file of states().
inline std::map<std::string, States> golden_states(const std::string& file_name) {
  std::ifstream file(std::string(CLTRAIN_TEST_FILES "/golden/") + file_name);
  std::map<std::string, States> all;
  std::string line, current;
  while (std::getline(file, line)) {
    std::istringstream words(line);
    std::string name, value;
    words >> name >> value;
    if (line[0] != ' ') {
      current = name;
      all[current].parameters = std::stoll(value);
    } else {
      all[current].shapes[name] = value;
    }
  }
  return all;
}

}  // namespace cltrain::testing
