CREATE TABLE customers (
  customerNumber INT NOT NULL,
  customerName VARCHAR(50) NOT NULL,
  city VARCHAR(50) NOT NULL,
  state VARCHAR(50) NULL,
  postalCode VARCHAR(15) NULL,
  country VARCHAR(50) NOT NULL,
  creditLimit DECIMAL(10,2) NULL,
  PRIMARY KEY (customerNumber)
) DEFAULT CHARACTER SET utf8mb4;

CREATE TABLE products (
  productCode VARCHAR(15) NOT NULL,
  productName VARCHAR(70) NOT NULL,
  productLine VARCHAR(50) NOT NULL,
  productScale VARCHAR(10) NOT NULL,
  productVendor VARCHAR(50) NOT NULL,
  quantityInStock SMALLINT NOT NULL,
  buyPrice DECIMAL(10,2) NOT NULL,
  MSRP DECIMAL(10,2) NOT NULL,
  PRIMARY KEY (productCode)
) DEFAULT CHARACTER SET utf8mb4;

CREATE TABLE orders (
  orderNumber INT NOT NULL,
  orderDate DATE NOT NULL,
  requiredDate DATE NOT NULL,
  shippedDate DATE NULL,
  status VARCHAR(15) NOT NULL,
  customerNumber INT NOT NULL,
  PRIMARY KEY (orderNumber)
) DEFAULT CHARACTER SET utf8mb4;

CREATE TABLE orderdetails (
  orderNumber INT NOT NULL,
  productCode VARCHAR(15) NOT NULL,
  quantityOrdered INT NOT NULL,
  priceEach DECIMAL(10,2) NOT NULL,
  orderLineNumber SMALLINT NOT NULL,
  PRIMARY KEY (orderNumber, productCode)
) DEFAULT CHARACTER SET utf8mb4;

CREATE TABLE ratings (
  customerNumber INT NOT NULL,
  productCode VARCHAR(15) NOT NULL,
  productRating INT NOT NULL,
  PRIMARY KEY (customerNumber, productCode)
) DEFAULT CHARACTER SET utf8mb4;
